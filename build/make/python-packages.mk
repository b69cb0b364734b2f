# Make rules for a list of Python packages: each one is built, installed into a prefix, and taken out again.
#
#     PREFIX   := /opt/prefix       # what is installed into; it has to be there: python3 -m venv --without-pip PREFIX
#     PACKAGES := packages.txt      # the list
#     include .../build/make/python-packages.mk
#
# The list has one line for each package; what follows a # is a comment:
#
#     NAME SOURCE [OPTION...] [: PACKAGE... [| PACKAGE...]]
#
# SOURCE is a wheel, an sdist or a source tree (with a slash); OPTIONs are those of 'sage-wheels build'. The packages
# after the colon are installed before this one, and when one of them is installed anew, so is this one; those after
# the bar only have to be there first, for example to build with.
#
#     make PKG                      builds and installs it, and what it depends on
#     make PKG-clean, PKG-uninstall takes it out again; without a word if it is not there
#     make python-packages          all of them, as 'make' does if no goal comes before; python-packages-clean: none
#
# Any -j is safe: the tool itself keeps installations apart. GNU make 3.81 or newer.

PREFIX ?= $(error PREFIX is not set; say which prefix is to be installed into)
PACKAGES ?= $(error PACKAGES is not set; name the file that lists the packages)
ifeq ($(strip $(PACKAGES)),)
    $(error PACKAGES is empty; name the file that lists the packages)
endif
# Where the wheels go, and where build requirements are taken from.
WHEELS ?= $(PREFIX)/var/lib/sage-wheels/wheels
# One file for each package that is installed.
STAMPS ?= $(PREFIX)/var/lib/sage-wheels/stamps

SAGE_WHEELS_MAKE := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
sage-wheels-empty :=
sage-wheels-space := $(sage-wheels-empty) $(sage-wheels-empty)
# make splits names at spaces
sage-wheels-stamps = $(subst $(sage-wheels-space),\ ,$(STAMPS))
sage-wheels-package = PREFIX='$(PREFIX)' WHEELS='$(WHEELS)' STAMPS='$(STAMPS)' '$(SAGE_WHEELS_MAKE)/package'

# $(1) name, $(2) source, $(3) options, $(4) dependencies, $(5) dependencies that only have to be there first
define sage-wheels-rules
.PHONY: $(1) $(1)-clean $(1)-uninstall
$(1): $$(sage-wheels-stamps)/$(1)
$$(sage-wheels-stamps)/$(1): $(2) $(patsubst %,$$(sage-wheels-stamps)/%,$(4)) | $(patsubst %,$$(sage-wheels-stamps)/%,$(5))
	@$$(sage-wheels-package) install $(1) $(2) $(3)
$(1)-uninstall:
	@$$(sage-wheels-package) uninstall $(1)
$(1)-clean: $(1)-uninstall
python-packages: $(1)
python-packages-clean: $(1)-clean
endef

.PHONY: python-packages python-packages-clean
python-packages:

define sage-wheels-newline


endef
sage-wheels-comma := ,

# One line of make for each line of the list; $(shell) makes spaces of newlines, so @@ stands for them, and $(call)
# would take a comma for the end of an argument.
sage-wheels-list := $(shell awk '{ sub(/\#.*/, "") } NF { \
    before = $$0; after = ""; order = ""; \
    if (i = match($$0, /[ \t]:/)) { before = substr($$0, 1, i - 1); after = substr($$0, i + 2) } \
    if (i = index(after, "|")) { order = substr(after, i + 1); after = substr(after, 1, i - 1) } \
    if (split(before, word, " ") < 2) { \
        printf "$$(error %s: %s has no SOURCE; name its wheel, sdist or source tree after it)@@\n", FILENAME, word[1]; next \
    } \
    options = ""; \
    for (i = 3; i in word; i++) options = options " " word[i]; \
    gsub(/,/, "$$(sage-wheels-comma)", options); \
    printf "$$(eval $$(call sage-wheels-rules,%s,%s,%s,%s,%s))@@\n", word[1], word[2], options, after, order \
}' '$(PACKAGES)')
$(eval $(subst @@,$(sage-wheels-newline),$(sage-wheels-list)))
