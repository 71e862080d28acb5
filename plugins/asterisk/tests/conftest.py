"""What the tests of the Asterisk provider share.

``CONFKIT_MEDIA=require`` fetches the engine where it is missing, and fails where it cannot be had. Without it the tests
marked ``media`` run where an engine has been fetched before, and are skipped elsewhere: running tests downloads nothing
unasked. ``CONFKIT_MEDIA_SUITE=bullseye`` runs them against version 16 instead of the current one.
"""

from __future__ import annotations

import os

import pytest
from confkit_asterisk.server import EngineUnavailable, Installation, install
from confkit_asterisk.server.install import installed


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "media: runs against a real Asterisk, with audio")


@pytest.fixture(scope="session")
def installation() -> Installation:
    required = os.environ.get("CONFKIT_MEDIA") == "require"
    suite = os.environ.get("CONFKIT_MEDIA_SUITE")
    if not required and installed(suite) is None:
        pytest.skip("no development engine has been fetched; CONFKIT_MEDIA=require fetches one")
    try:
        return install(suite)
    except EngineUnavailable as error:
        if required:
            raise
        pytest.skip(str(error))
