# sage-wheels: for build/bin/sage-make-packages. Runs longest_first.py, which is beside this file, in the way in which
# make runs itself, so that it takes part in the jobserver.
packages:
	+@exec "$$LONGEST_FIRST_PYTHON" -I -S '$(dir $(lastword $(MAKEFILE_LIST)))longest_first.py'
.PHONY: packages
