# Make rules to build a list of Python packages, and to install them into a prefix and uninstall them.
#
#     PREFIX   := /opt/prefix       # the prefix, which must exist: python3 -m venv --without-pip PREFIX
#     PACKAGES := packages.txt      # the list
#     include .../build/make/python-packages.mk
#
# The list has one line for each package; what follows a # is a comment:
#
#     NAME SOURCE [OPTION...] [: PACKAGE... [| PACKAGE...]]
#
# SOURCE is a wheel, an sdist or a source tree (with a slash); OPTIONs are those of 'sage-wheels build'. The packages
# after the colon are installed before this one, and if one of them is installed again, so is this one. Those after the
# bar must only be installed before this one, for example because its build uses them.
#
#     make PKG                      builds and installs the package PKG, and its dependencies
#     make PKG-clean, PKG-uninstall uninstalls it; does nothing if it is not installed
#     make python-packages          builds and installs all packages (the default goal, if no other rule comes first), and
#                                   prints the result of each at the end, also with -k
#     make python-packages-summary  prints these results again
#     make python-packages-prune    uninstalls packages that are no longer in the list
#     make python-packages-clean    uninstalls all packages
#
# A package is built again when its line, or a file of its SOURCE, has changed. WHEELS contains one wheel of each
# distribution. The output of a package is in LOGS/PKG.log. packages.example, beside this file, is an example list.
#
# When to use these rules: to keep a prefix as a list says, package by package, each with options and a log of its own, as
# a part of a larger make. To build many sources once, without a list of what needs what, 'sage-wheels build -j N SOURCE...'
# is enough: it finds the order by itself, and runs N builds and N compilers at a time.
#
# Any -j is safe, because the tool locks the prefix. GNU make 3.81 or newer is needed.

PREFIX ?= $(error PREFIX is not set; say which prefix is to be installed into)
PACKAGES ?= $(error PACKAGES is not set; name the file that lists the packages)
ifeq ($(strip $(PACKAGES)),)
    $(error PACKAGES is empty; name the file that lists the packages)
endif
# Where the wheels go, and where build requirements are taken from.
WHEELS ?= $(PREFIX)/var/lib/sage-wheels/wheels
# The stamps: one file for each package that is installed.
STAMPS ?= $(PREFIX)/var/lib/sage-wheels/stamps

# The output of the last build of each package.
LOGS ?= $(PREFIX)/var/lib/sage-wheels/logs

SAGE_WHEELS_MAKE := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
# The tool is beside these rules, in a checkout or in what brought them; else it is the one on PATH.
SAGE_WHEELS ?= $(firstword $(wildcard $(SAGE_WHEELS_MAKE)/../bin/sage-wheels $(SAGE_WHEELS_MAKE)/../../../bin/sage-wheels) sage-wheels)
sage-wheels-makefile := $(firstword $(MAKEFILE_LIST))
sage-wheels-empty :=
sage-wheels-space := $(sage-wheels-empty) $(sage-wheels-empty)
# make splits names at spaces
sage-wheels-stamps = $(subst $(sage-wheels-space),\ ,$(STAMPS))
# The shell runs each program by `exec`, so that make's signals reach it.
sage-wheels-package = SAGE_WHEELS='$(SAGE_WHEELS)' PREFIX='$(PREFIX)' WHEELS='$(WHEELS)' STAMPS='$(STAMPS)' LOGS='$(LOGS)' PACKAGES='$(PACKAGES)' \
    exec '$(SAGE_WHEELS_MAKE)/package'

# $(1) name, $(2) source, $(3) options, $(4) dependencies, $(5) dependencies that only have to be installed first, $(6) the
# source, which another rule may make; and, if the line or the source has changed, a target that is always made
define sage-wheels-rules
.PHONY: $(1) $(1)-clean $(1)-uninstall
$(1): $$(sage-wheels-stamps)/$(1)
$$(sage-wheels-stamps)/$(1): $(6) $(patsubst %,$$(sage-wheels-stamps)/%,$(4)) | $(patsubst %,$$(sage-wheels-stamps)/%,$(5))
	@$$(sage-wheels-package) install $(1) '$(2)' $(3)
$(1)-uninstall:
	@$$(sage-wheels-package) uninstall $(1)
$(1)-clean: $(1)-uninstall
sage-wheels-everything: $(1)
python-packages-clean: $(1)-clean
endef

.PHONY: python-packages python-packages-clean python-packages-summary python-packages-prune sage-wheels-everything
.PHONY: sage-wheels-anew
# make runs no rule after a goal that failed. So this make calls another one, and then prints the results.
python-packages:
	+@$(sage-wheels-package) make $(MAKE) --no-print-directory -f '$(sage-wheels-makefile)' sage-wheels-everything
python-packages-summary:
	@$(sage-wheels-package) summary
python-packages-prune:
	@$(sage-wheels-package) prune
python-packages-clean:
sage-wheels-everything:
sage-wheels-anew:

define sage-wheels-newline


endef
sage-wheels-comma := ,

# One line of make for each line of the list; $(shell) makes spaces of newlines, so @@ stands for them.
sage-wheels-list := $(shell '$(SAGE_WHEELS)' make-packages rules --list '$(PACKAGES)' --stamps '$(STAMPS)')
$(eval $(subst @@,$(sage-wheels-newline),$(sage-wheels-list)))
$(if $(sage-wheels-read),,$(error the list $(PACKAGES) was not read, because $(SAGE_WHEELS) failed))
