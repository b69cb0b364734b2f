"""A certificate authority of one's own, and certificates of it, for TLS on the loopback interface."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificates(NamedTuple):
    """The files of an authority, and of the one certificate and key that all machines of a test have."""

    authority: Path
    certificate: Path
    key: Path

    def options(self) -> list[str]:
        """What a scheduler and a worker of Dask take."""
        files = ("--tls-ca-file", self.authority), ("--tls-cert", self.certificate), ("--tls-key", self.key)
        return [str(each) for pair in files for each in pair]

    def variables(self) -> dict[str, str]:
        """Where a client of Dask finds them."""
        begin = "DASK_DISTRIBUTED__COMM__TLS__"
        return {
            f"{begin}CA_FILE": str(self.authority),
            f"{begin}CLIENT__CERT": str(self.certificate),
            f"{begin}CLIENT__KEY": str(self.key),
        }


def make(directory: Path) -> Certificates:
    directory.mkdir()
    now = datetime.datetime.now(datetime.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{directory.name} {what}")])
        for what in ("authority", "machine")
    ]
    for number, file in enumerate(("authority.pem", "certificate.pem")):
        made = (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[0])
            .public_key(keys[number].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=not number, path_length=None), critical=True)
            .sign(keys[0], hashes.SHA256())
        )
        (directory / file).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(private)
    return Certificates(directory / "authority.pem", directory / "certificate.pem", directory / "key.pem")
