"""All settings: one frozen object, built once at the root and passed down.

Sources, later ones win: the defaults here, a TOML file, the environment (VIVAVOCE_SECTION_KEY; REDIS_URL for
redis.url), `--set section.key=value`. An unknown name or an impossible value is one sentence that names it.
"""

from __future__ import annotations

import difflib
import ipaddress
import logging
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from engine.errors import ConfigError

log = logging.getLogger(__name__)


def _meta(description: str, unit: str = "", *, secret: bool = False, **limits: Any) -> Meta:
    return Meta(description=description, extra={"unit": unit, "secret": secret}, **limits)


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP side: API, WHIP, events, console."""

    host: Annotated[str, _meta("address to listen on; other than loopback needs a token")] = "127.0.0.1"
    port: Annotated[int, _meta("TCP port; 0 picks a free one", ge=0, le=65535)] = 8080
    token: Annotated[str, _meta("bearer token; empty generates one and prints it", secret=True)] = ""
    loopback_open: Annotated[bool, _meta("let clients on this machine in without the token")] = False
    max_body_bytes: Annotated[int, _meta("largest upload", "bytes", ge=1024, le=1 << 31)] = 64 << 20
    rate_limit_per_s: Annotated[float, _meta("changing requests per client", "1/s", gt=0)] = 50.0
    max_connections: Annotated[
        int, _meta("HTTP connections at once, half of them from one address; more are refused", ge=4, le=100000)
    ] = 4000
    cors_origins: Annotated[tuple[str, ...], _meta("origins of other sites that may call the API")] = ()


class Rtp(Struct, frozen=True, forbid_unknown_fields=True):
    """Where RTP arrives."""

    host: Annotated[str, _meta("address that RTP ports are bound to")] = "127.0.0.1"
    advertise: Annotated[str, _meta("address told to callers; empty: rtp.host, or if that is any, the one that leads out")] = ""
    port_min: Annotated[int, _meta("first port of the range", ge=1024, le=65534)] = 20000
    port_max: Annotated[int, _meta("last port of the range", ge=1025, le=65535)] = 29999
    timeout_s: Annotated[
        float, _meta("without a packet, or a report of its sender by RTCP, the call is over", "s", ge=1, le=86400)
    ] = 30.0
    latch: Annotated[
        Literal["first", "declared"],
        _meta("whose packets count: the first source that keeps on, or only the one declared in the request"),
    ] = "first"
    jitter_ms: Annotated[int, _meta("how long a missing packet is waited for", "ms", ge=0, le=1000)] = 60


class Calls(Struct, frozen=True, forbid_unknown_fields=True):
    """How many calls, and how they are watched."""

    max: Annotated[int, _meta("legs screened at once; more are refused with 503", "legs", ge=1, le=100000)] = 1200
    max_delay_ms: Annotated[int, _meta("refuse new calls while scores come later than this", "ms", ge=20)] = 150
    max_load: Annotated[
        float, _meta("refuse new calls that would need more than this share of the machine's cores", gt=0, le=1)
    ] = 0.75
    no_audio_s: Annotated[float, _meta("without a packet the tag becomes unknown", "s", ge=0.5)] = 5.0
    no_speech_s: Annotated[float, _meta("of audio without speech the tag becomes no-speech", "s", ge=1)] = 8.0
    vad_mode: Annotated[int, _meta("webrtcvad aggressiveness: 0 hears most, 3 least", ge=0, le=3)] = 2
    webrtc_max: Annotated[int, _meta("browser calls at once", "calls", ge=0, le=10000)] = 40
    drain_s: Annotated[float, _meta("on SIGTERM, how long running calls may go on", "s", ge=0, le=3600)] = 0.0


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """The detector."""

    path: Annotated[str, _meta("an .onnx file with its .json beside it; empty: the weights that ship")] = ""
    form: Annotated[
        Literal["fp32", "int8"],
        _meta("of the weights that ship: exact, or static int8, which is faster (for `model.device` cpu)"),
    ] = "fp32"
    chunk_ms: Annotated[
        Literal[160, 320] | None,
        _meta("how much audio is scored at once; 320 costs less and comes later; unset: the model's own, 160", "ms"),
    ] = None
    device: Annotated[Literal["cpu", "cuda"], _meta("where it runs; cuda needs the extra `gpu`")] = "cpu"
    workers: Annotated[int, _meta("scoring threads; 0: one per core but one", "threads", ge=0, le=256)] = 0
    batch: Annotated[int, _meta("most calls in one model run", "calls", ge=1, le=16384)] = 64


class Tags(Struct, frozen=True, forbid_unknown_fields=True):
    """When a call is tagged, and how."""

    min_speech_s: Annotated[
        float, _meta("no verdict before this much net speech, or two answers that were voices", "s", ge=0.5, le=60)
    ] = 2.0
    deepfake_llr: Annotated[float | None, _meta("Deepfake-likely at or below; unset: the model's own", "nat")] = None
    human_llr: Annotated[float | None, _meta("Human-likely at or above; unset: the model's own", "nat")] = None
    margin: Annotated[float, _meta("how far back a verdict must go to be withdrawn", "nat", ge=0)] = 0.5
    prior: Annotated[float, _meta("assumed share of synthetic callers, for `probability`", gt=0, lt=1)] = 0.5
    forget_s: Annotated[float, _meta("net speech after which a score counts 1/e", "s", ge=1)] = 20.0
    score_interval_s: Annotated[float, _meta("between score updates of a call", "s", ge=0.1, le=60)] = 1.0


class Examination(Struct, frozen=True, forbid_unknown_fields=True):
    """Asking the caller to do something that a voice converter cannot."""

    mode: Annotated[
        Literal["operator", "automatic", "off"],
        _meta("who decides to ask: the engine proposes and the operator presses, the engine itself, or nobody"),
    ] = "operator"
    language: Annotated[
        Literal["en", "es", "fr", "de"], _meta("of the questions, unless a call names another: `metadata.language`")
    ] = "en"
    prompts: Annotated[str, _meta("folder of a prompt pack; empty: the operator speaks the questions")] = ""
    pool: Annotated[tuple[str, ...], _meta("challenges that may be asked; empty: what the call's line carries")] = ()
    suspicious_llr: Annotated[
        float | None, _meta("a question is proposed at or below; unset: half of tags.deepfake_llr", "nat")
    ] = None
    questions: Annotated[int, _meta("asked of one caller at most", "questions", ge=1, le=5)] = 3
    model: Annotated[str, _meta("an .onnx file that judges how answers sound; empty: the weights that ship")] = ""
    answer_s: Annotated[float, _meta("a caller who has not begun to answer by then has not answered", "s", ge=3, le=60)] = 8.0
    queue: Annotated[int, _meta("answers waiting to be judged; more are left unclear", "answers", ge=1, le=10000)] = 64


class Redis(Struct, frozen=True, forbid_unknown_fields=True):
    """Where tags go."""

    url: Annotated[str, _meta("redis:// or rediss:// URL; empty: an embedded one is started", secret=True)] = ""
    state_dir: Annotated[str, _meta("folder of the embedded Redis; empty: a temporary one")] = ""
    shard: Annotated[int, _meta("stream vivavoce:tags:SHARD; one writer each", ge=0, le=9999)] = 0
    retention_s: Annotated[int, _meta("records older than this are trimmed", "s", ge=10, le=604800)] = 600
    spool_max: Annotated[int, _meta("records kept while Redis is away", "records", ge=100, le=10000000)] = 100000


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _meta("least severity shown")] = "info"
    format: Annotated[Literal["console", "json"], _meta("for people or for machines")] = "console"
    pii: Annotated[bool, _meta("log caller data; otherwise it is left out")] = False


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    server: Server = Server()
    rtp: Rtp = Rtp()
    calls: Calls = Calls()
    model: Model = Model()
    tags: Tags = Tags()
    examination: Examination = Examination()
    redis: Redis = Redis()
    log: Log = Log()


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One setting as `--help` and the documentation list it."""

    name: str
    default: Any
    unit: str
    description: str
    env: str
    secret: bool


def describe_settings() -> list[SettingDoc]:
    """Every setting, in the order of the sections above."""
    return [
        SettingDoc(
            f"{section}.{key}",
            getattr(getattr(Settings(), section), key),
            str(_extra(hint)["unit"]),
            _meta_of(hint).description or "",
            f"VIVAVOCE_{section}_{key}".upper(),
            bool(_extra(hint)["secret"]),
        )
        for section, key, hint in _fields()
    ]


def load_settings(
    path: Path | None = None, env: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
) -> Settings:
    """Settings from file, environment and `section.key=value` strings. ConfigError names what is wrong."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in [*_from_file(path), *_from_env(env or {}), *_from_overrides(overrides)]:
        section, key = _known(name)
        values.setdefault(section, {})[key] = _convert(name, value)
    settings = msgspec.convert(values, Settings)
    _check(settings)
    return settings


def _fields() -> Iterator[tuple[str, str, Any]]:
    for section, kind in get_type_hints(Settings).items():
        for key, hint in get_type_hints(kind, include_extras=True).items():
            yield section, key, hint


def _meta_of(hint: Any) -> Meta:
    return next(m for m in hint.__metadata__ if isinstance(m, Meta))


def _extra(hint: Any) -> Mapping[str, Any]:
    return _meta_of(hint).extra or {}


def _from_file(path: Path | None) -> Iterator[tuple[str, Any]]:
    if path is None:
        return
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"settings file {path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path} is not TOML: {error}") from None
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f'settings file {path}: "{section}" is a value, but settings stand in sections')
        yield from ((f"{section}.{key}", value) for key, value in table.items())


def _from_env(env: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    if env.get("REDIS_URL"):
        yield "redis.url", env["REDIS_URL"]
    for name, value in sorted(env.items()):
        if name.startswith("VIVAVOCE_"):
            section, _, key = name.removeprefix("VIVAVOCE_").lower().partition("_")
            if section not in Settings.__struct_fields__:  # Kubernetes sets VIVAVOCE_PORT and the like for a service
                log.warning("%s in the environment is no setting", name)
                continue
            try:
                _known(f"{section}.{key}")
            except ConfigError as error:
                raise ConfigError(f"{name} in the environment: {error}") from None
            yield f"{section}.{key}", value


def _from_overrides(overrides: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f'"{text}" is not of the form section.key=value')
        yield name.strip(), value


def _known(name: str) -> tuple[str, str]:
    names = [f"{section}.{key}" for section, key, _ in _fields()]
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise ConfigError(f'unknown setting "{name}"{hint}')
    section, _, key = name.partition(".")
    return section, key


def _convert(name: str, value: Any) -> Any:
    """Check one value against its type and limits; text is read as the type asks."""
    hint = next(h for section, key, h in _fields() if f"{section}.{key}" == name)
    if isinstance(value, str) and "tuple" in str(hint):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if value == "" and type(None) in getattr(hint.__origin__, "__args__", ()):
        return None
    try:
        found = msgspec.convert(value, hint, strict=False)
        if isinstance(found, float) and not math.isfinite(found):
            raise msgspec.ValidationError("a finite number")
        return found
    except msgspec.ValidationError as error:
        shown = "the value given" if _extra(hint)["secret"] else repr(value)
        raise ConfigError(f"{name} = {shown} is not possible: {_allowed(hint) or error}") from None


def _allowed(hint: Any) -> str:
    meta = _meta_of(hint)
    kind = hint.__origin__
    for part in (kind, *getattr(kind, "__args__", ())):  # `Literal[...] | None` too
        if getattr(part, "__origin__", None) is Literal:
            return "allowed are " + ", ".join(map(str, part.__args__))
    words = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "")
    bounds = [
        (meta.ge, "from {}"), (meta.gt, "above {}"), (meta.le, "to {}"), (meta.lt, "below {}"),
    ]  # fmt: skip
    limits = " ".join(text.format(limit) for limit, text in bounds if limit is not None)
    unit = str(_extra(hint)["unit"])
    return " ".join(part for part in (words, limits, unit) if part)


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_reachable(settings: Settings) -> None:
    """Whoever listens to the world asks it for a token. ConfigError when there is none."""
    server = settings.server
    if not is_loopback(server.host) and not server.token:
        raise ConfigError(f"server.host = {server.host!r} is reachable from outside: set server.token first")


REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
TOKEN_MAX = 512  # characters
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")


def _check(settings: Settings) -> None:
    """What no single value can tell."""
    rtp, tags = settings.rtp, settings.tags
    if rtp.port_max <= rtp.port_min:
        raise ConfigError(f"rtp.port_max = {rtp.port_max} must be above rtp.port_min = {rtp.port_min}")
    if rtp.advertise and not _HOST.fullmatch(rtp.advertise):
        raise ConfigError(f"rtp.advertise = {rtp.advertise!r} is neither an address nor a host's name")
    _check_server(settings.server)
    check_redis_url(settings.redis.url, "redis.url")
    if tags.deepfake_llr is not None and tags.human_llr is not None and tags.deepfake_llr >= tags.human_llr:
        raise ConfigError(f"tags.deepfake_llr = {tags.deepfake_llr} must be below tags.human_llr = {tags.human_llr}")


def _check_server(server: Server) -> None:
    if any(not "!" <= sign <= "~" for sign in server.token):  # a line's end behind a secret, say; not to be repeated
        raise ConfigError("server.token holds a blank, a line's end or another sign that no header can carry")
    if len(server.token) > TOKEN_MAX:
        raise ConfigError(f"server.token has {len(server.token)} characters: at most {TOKEN_MAX} are allowed")
    for origin in server.cors_origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(f"server.cors_origins: {origin!r} is no origin of the form https://host or https://host:8443")


def check_redis_url(url: str, named: str) -> None:
    """ConfigError for what is wrong with it, without what may be its password."""
    if url and not url.startswith(REDIS_SCHEMES):
        raise ConfigError(f"{named} begins with {url.partition(':')[0][:20]!r}: allowed are {', '.join(REDIS_SCHEMES)}")
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ConfigError(f"{named}: its port is no number from 0 to 65535") from None
