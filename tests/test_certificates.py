import os
import ssl

import pytest

from modeld import certificates


def test_what_is_imported_meanwhile_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ours.pem")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    with certificates.unread():
        found = ssl.create_default_context().get_ca_certs()

    assert found == []
    assert os.environ["SSL_CERT_FILE"] == "/etc/ours.pem"
    assert "SSL_CERT_DIR" not in os.environ
