"""The distribution's side: what its package scripts ask for in pip's words, and the records that they leave.

records     spkg-requirements.txt: which distributions a package of Sage has brought
wheelhouse  the wheel in $SAGE_SPKG_WHEELS that a name stands for
"""
