EAPI=8
DESCRIPTION="Example of a package that is made of a wheel"
SRC_URI="https://example.org/one-${PV}.tar.gz"
LICENSE="MIT"
SLOT="0"
KEYWORDS="~amd64"
RDEPEND="dev-lang/python:3.12"
BDEPEND="${RDEPEND} dev-python/sage-wheels"

src_compile() {
	sage-wheels build --no-config --no-isolation --wheel-dir dist ./ || die
}

src_install() {
	sage-wheels install --no-config --destdir "${D}" --prefix "${EPREFIX}/usr" \
		--python "${EPREFIX}/usr/bin/python3.12" --optimize 0 --optimize 1 --optimize 2 \
		--installer portage dist/*.whl || die
}
