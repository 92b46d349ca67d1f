"""Serves ministack on a unix socket, where its own entry point can only listen on TCP: `ministack_server.py SOCKET`.

`POST /_lab/events` puts events as AWS's own services do: PutEvents refuses sources that begin with `aws.`. The query names account
and region, the body is that of PutEvents. The gateway passes no path of its clients that begins with `/_`.
"""

import asyncio
import json
import os
import sys
from urllib.parse import parse_qs

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lifeline import end_with_parent  # noqa: E402

end_with_parent()
os.umask(0o077)

import ministack.app  # noqa: E402
from hypercorn.asyncio import serve  # noqa: E402
from hypercorn.config import Config  # noqa: E402
from ministack.core.responses import request_scope  # noqa: E402
from ministack.services import eventbridge  # noqa: E402


async def app(scope, receive, send):
    if scope["type"] != "http" or scope["path"] != "/_lab/events":
        return await ministack.app.app(scope, receive, send)
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    query = parse_qs(scope["query_string"].decode())
    status, answer = await asyncio.to_thread(put, query["account"][0], query["region"][0], json.loads(body))
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": answer})


def put(account, region, data):
    with request_scope(account, region):
        status, _, answer = eventbridge._put_events(data, allow_aws_source=True)
    return status, answer if isinstance(answer, bytes) else answer.encode()


config = Config()
config.bind = [f"unix:{sys.argv[1]}"]
config.umask = 0o077
config.keep_alive_timeout = 75
config.graceful_timeout = 1
config.loglevel = "WARNING"
config.accesslog = None
asyncio.run(serve(app, config))
