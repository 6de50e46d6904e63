"""Callers: HTTP/1.1 over keep-alive connections, one task a call, and what an application makes of the answer."""

import asyncio
import dataclasses
import json
import socket
import time

# Beyond every limit of time that the configuration sets, waits between attempts included.
HANG_SECONDS = 40
# How long a slow caller reads nothing: longer than a channel may be silent.
PAUSE_SECONDS = 3.0
# A caller that never reads leaves after this: twice its pool's limit of the whole call.
STUCK_SECONDS = 20.0
# What the kernel keeps for callers who do not read, so that it is soon full.
SMALL_RECEIVE_BYTES = 16 << 10
READ_BYTES = 1 << 16


@dataclasses.dataclass(slots=True)
class Got:
    """What a caller saw."""

    asked_us: int = 0
    seconds: float = 0.0
    # framed, cut, left, hung or nothing
    end: str = "hung"
    status: int = 0
    call: str = ""
    channel: str = ""
    model: str = ""
    ticket: str = ""
    retry_after: str = ""
    code: str | None = None
    stop: str | None = None
    terminated: bool = False
    malformed: int = 0
    # Whether the text is all that was asked for, or a beginning of it.
    is_whole: bool = False
    is_beginning: bool = False
    text_bytes: int = 0
    usage: tuple | None = None

    @property
    def saw(self):
        """One word for it: whole, broken, error, left, nothing."""
        if self.end == "left":
            return "left"
        if self.end in ("hung", "nothing"):
            return "nothing"
        if self.status != 200:
            return "error"
        if self.end == "cut" or self.code is not None or not (self.stop or self.terminated):
            return "broken"
        return "whole"


class Callers:
    def __init__(self, house):
        self.house = house
        self.idle = []
        self.open = 0

    async def call(self, ask):
        got = Got(asked_us=time.time_ns() // 1000)
        begin = time.monotonic()
        answer = Answer(ask, got)
        connection = None
        try:
            async with asyncio.timeout(HANG_SECONDS):
                connection = await self.ask(answer)
        except TimeoutError:
            got.end = "hung"
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            got.end = "cut" if got.status else "nothing"
        finally:
            got.seconds = time.monotonic() - begin
        if connection:
            self.idle.append(connection)
        answer.read()
        return got

    async def ask(self, answer):
        """The connection, if it can be used again."""
        is_usual = answer.ask.kind not in ("leaves", "leaves_waiting", "slow", "stuck")
        while True:
            kept = self.take() if is_usual else None
            connection = kept or await self.connect(is_usual)
            try:
                reusable = await answer.exchange(connection, request(answer.ask, self.house.keys[answer.ask.key]))
                if not reusable:
                    connection.close()
                return connection if reusable else None
            except (OSError, asyncio.IncompleteReadError):
                connection.close()
                # The server may close a connection that has been idle for long in the moment in which it is used.
                if not kept or answer.got.status:
                    raise
            except BaseException:
                connection.close()
                raise

    def take(self):
        while self.idle:
            connection = self.idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.close()
        return None

    async def connect(self, is_usual):
        made = socket.socket()
        if not is_usual:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_RECEIVE_BYTES)
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, self.house.listen)
        except BaseException:
            made.close()
            raise
        return Connection(*await asyncio.open_connection(sock=made, limit=READ_BYTES))

    async def close(self):
        while self.idle:
            self.idle.pop().close()
        await asyncio.sleep(0)


class Connection:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def close(self):
        # At once: a caller that leaves does not say good-bye.
        self.writer.transport.abort()


def request(ask, key):
    messages = [{"role": "user", "content": ask.prompt}]
    body = {"model": ask.pool, "max_tokens": ask.max_tokens, "messages": messages, "stream": ask.stream}
    if ask.dialect == "openai":
        path, credential = "/v1/chat/completions", f"authorization: Bearer {key}"
        if ask.stream and ask.counts_usage:
            body["stream_options"] = {"include_usage": True}
    else:
        path, credential = "/v1/messages", f"x-api-key: {key}\r\nanthropic-version: 2023-06-01"
    sent = json.dumps(body)
    if ask.kind == "bad_body":
        sent = sent[:-1]
    head = f"POST {path} HTTP/1.1\r\nhost: soak\r\n{credential}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(sent)}\r\n\r\n{sent}".encode()


class Answer:
    """Reads one answer in the manner of its kind of caller."""

    def __init__(self, ask, got):
        self.ask, self.got = ask, got
        self.body = bytearray()
        self.type = ""

    async def exchange(self, connection, sent):
        """Whether the connection can be used again."""
        connection.writer.write(sent)
        if self.ask.kind == "leaves_waiting":
            await asyncio.sleep(self.ask.until_seconds)
            self.got.end = "left"
            return False
        if self.ask.kind == "stuck":
            connection.writer.transport.pause_reading()
            await asyncio.sleep(STUCK_SECONDS)
            self.got.end = "left"
            return False
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        self.heads(int(head[0].split(" ")[1]), headers)
        if "content-length" in headers:
            self.body += await connection.reader.readexactly(int(headers["content-length"]))
        elif not await self.chunks(connection):
            self.got.end = "left"
            return False
        self.got.end = "framed"
        return headers.get("connection", "").lower() != "close"

    def heads(self, status, headers):
        got = self.got
        got.status, self.type = status, headers.get("content-type", "")
        got.call, got.channel = headers.get("x-tieline-call", ""), headers.get("x-tieline-channel", "")
        got.model, got.ticket = headers.get("x-tieline-model", ""), headers.get("x-tieline-ticket", "")
        got.retry_after = headers.get("retry-after", "")

    async def chunks(self, connection):
        """The body's chunks; false if the caller has left."""
        mark = piece_mark(self.ask)
        while True:
            size = int((await connection.reader.readline()).strip() or b"", 16)
            self.body += (await connection.reader.readexactly(size + 2))[:size]
            if size == 0:
                return True
            if mark and mark in self.body:
                mark = None
                if self.ask.kind == "leaves":
                    return False
                # Not even the event loop takes anything from the kernel meanwhile.
                connection.writer.transport.pause_reading()
                await asyncio.sleep(PAUSE_SECONDS)
                connection.writer.transport.resume_reading()

    # === reading ===

    def read(self):
        got = self.got
        if self.type.startswith("text/event-stream"):
            text = "".join(self.event(name, data) for name, data in events(self.body))
        elif self.body and got.end in ("framed", "cut"):
            text = self.whole()
        else:
            text = ""
        self.body = None
        got.text_bytes = len(text)
        if text:
            expected = self.ask.text
            got.is_whole, got.is_beginning = text == expected, expected.startswith(text)
        else:
            got.is_beginning = True

    def event(self, name, data):
        """Note what an event says; its text."""
        got = self.got
        if data == b"[DONE]":
            got.terminated = self.ask.dialect == "openai"
            return ""
        try:
            value = json.loads(data)
        except ValueError:
            got.malformed += 1
            return ""
        self.error(value)
        if self.ask.dialect == "openai":
            if value.get("usage"):
                got.usage = openai_usage(value["usage"])
            choice = (value.get("choices") or [{}])[0]
            got.stop = got.stop or choice.get("finish_reason")
            return choice.get("delta", {}).get("content") or ""
        got.terminated |= name == b"message_stop"
        if name == b"message_delta":
            got.stop = got.stop or value["delta"].get("stop_reason")
            got.usage = anthropic_usage(value.get("usage"))
        return value.get("delta", {}).get("text") or ""

    def whole(self):
        got = self.got
        try:
            value = json.loads(self.body)
        except ValueError:
            got.malformed += 1
            return ""
        self.error(value)
        if got.status != 200:
            return ""
        if self.ask.dialect == "openai":
            choice = value["choices"][0]
            got.stop, got.usage = choice["finish_reason"], openai_usage(value["usage"])
            text = choice["message"]["content"]
        else:
            got.stop, got.usage = value["stop_reason"], anthropic_usage(value["usage"])
            text = "".join(block.get("text", "") for block in value["content"])
        got.terminated = got.stop is not None
        return text

    def error(self, value):
        """An error in the dialect's own envelope; another is none that its SDK would know."""
        error = value.get("error")
        if not isinstance(error, dict):
            return
        if self.ask.dialect == "openai":
            is_own, code = "type" not in value and "message" in error, error.get("code")
        else:
            is_own, code = value.get("type") == "error", (error.get("details") or {}).get("error_code")
        self.got.code = (code or error.get("type") or "unnamed") if is_own else "foreign"


def piece_mark(ask):
    """What is in the answer once its caller leaves or pauses."""
    return f"{ask.number}.{ask.until_piece}.".encode() if ask.kind in ("leaves", "slow") else None


def events(body):
    for block in bytes(body).split(b"\n\n"):
        name = data = None
        for line in block.split(b"\n"):
            if line.startswith(b"data: "):
                data = line[6:]
            elif line.startswith(b"event: "):
                name = line[7:]
        if data is not None:
            yield name, data


def openai_usage(usage):
    return usage["prompt_tokens"], usage["completion_tokens"]


def anthropic_usage(usage):
    return (usage["input_tokens"], usage["output_tokens"]) if usage and "input_tokens" in usage else None
