"""A provider's stream of events, opened again whenever it breaks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import anyio

from confkit.ingest.router import EventRouter
from confkit.models.errors import ProviderError
from confkit.steps.executor import Steps
from confkit.steps.log import logger

#: The pause before a broken stream is opened again, in seconds.
REOPEN: Final = 1.0


async def take_in_stream(steps: Steps, router: EventRouter, catch_up: Callable[[], Awaitable[None]]) -> None:
    """Take in the provider's stream, for ever.

    Args:
        catch_up: fetches what may have been missed, each time that it broke.
    """
    while True:
        events = steps.hook.events()
        try:
            async for event in events:
                router.accept_logged(event)
        except Exception as error:
            # Also what no plugin should raise: the meetings go on, and are looked at below.
            message = str(error) if isinstance(error, ProviderError) else type(error).__name__
            logger().warning("event_stream_broken", provider=steps.provider, error=message)
        finally:
            if isinstance(events, AsyncGenerator):
                with anyio.CancelScope(shield=True):
                    await events.aclose()
        await anyio.sleep(REOPEN)
        await catch_up()
