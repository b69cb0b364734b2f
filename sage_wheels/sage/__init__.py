"""The distribution's side: what its package scripts ask for in pip's words, and the records that they leave.

records       spkg-requirements.txt: which distributions a package of Sage has brought
wheelhouse    the wheel in $SAGE_SPKG_WHEELS that a name stands for
stamps        the lists of files in the records of packages from the days of DESTDIR
distribution  what the packages of a distribution have brought, and whether it still is that
comparison    whether an installed distribution is what a wheel brings
restore       putting that back
pip           pip in front of our transactions: the process; pip_driver, its other end; pip_decision, what comes of it
"""
