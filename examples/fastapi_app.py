"""Meetings in a FastAPI application: it learns what happens from webhooks, and controls its meetings over HTTP.

Needs ``BANDWIDTH_USER_ID``, ``BANDWIDTH_API_TOKEN``, ``BANDWIDTH_API_SECRET``, ``BANDWIDTH_CALLER_ID`` and
``PUBLIC_URL``, where the provider reaches ``/confkit`` of this application. Run it with
``uvicorn examples.fastapi_app:app`` in one process: a meeting lives in the process that opened it.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

import confkit

client = confkit.AsyncClient("bandwidth", public_url=os.environ["PUBLIC_URL"])
meetings: dict[str, confkit.Meeting] = {}
stack = AsyncExitStack()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    # Told to end, it ends every meeting first, those that still ring too, and the server goes down after that.
    async with confkit.ending_on_signals(), stack, client:
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/confkit", client.webhooks)


@app.exception_handler(confkit.ConfkitError)
async def refuse(_: Request, error: confkit.ConfkitError) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=409)


@app.post("/meetings")
async def open_meeting(numbers: list[str]) -> dict[str, str]:
    meeting = await stack.enter_async_context(client.connect(*numbers))
    meetings[meeting.id] = meeting
    return {"id": meeting.id}


@app.get("/meetings/{id}")
async def show(id: str) -> dict[str, str]:
    return {person.party.address: person.state.value for person in meetings[id].participants}


@app.post("/meetings/{id}/people/{number}")
async def add(id: str, number: str) -> None:
    await meetings[id].add(number)


@app.post("/meetings/{id}/people/{number}/mute")
async def mute(id: str, number: str) -> None:
    await meetings[id].mute(number)
