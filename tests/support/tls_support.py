"""A certificate for 127.0.0.1, made on the spot."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificate(directory: Path) -> tuple[str, str]:
    """Return the files of a self-signed certificate and of its key."""
    certificate, key = str(directory / "cert.pem"), str(directory / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=sandbox", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


class Authority:
    """A CA of one's own, and the certificates that it signs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.certificate, self._key = str(directory / "ca.pem"), str(directory / "ca.key")
        self._openssl(*_NEW_KEY, "-x509", "-days", "2", "-subj", "/CN=lab CA", *_out(self._key, self.certificate))

    def issue(self, name: str = "IP:127.0.0.1", *, days: int = 2) -> tuple[str, str]:
        """Return the files of a certificate for ``name`` and of its key; with ``days`` below 0 it has expired."""
        stem = f"{name.replace(':', '_')}{days}"
        certificate, key, request = (str(self._directory / f"{stem}.{kind}") for kind in ("pem", "key", "csr"))
        self._openssl(*_NEW_KEY, "-subj", "/CN=server", "-addext", f"subjectAltName={name}", *_out(key, request))
        signed = ["x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key]
        self._openssl(*signed, "-days", str(days), "-copy_extensions", "copy", "-out", certificate)
        return certificate, key

    @staticmethod
    def _openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)


_NEW_KEY = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _out(key: str, out: str) -> list[str]:
    return ["-keyout", key, "-out", out]
