"""Fixtures of the connectors' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.connectors import gateway


@pytest.fixture
async def gate() -> AsyncIterator[gateway.Setup]:
    """A gateway with made-up parts, closed afterwards."""
    setup = await gateway.start()
    yield setup
    await setup.client.close()
