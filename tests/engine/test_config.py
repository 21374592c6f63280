"""Settings: where they come from, and the sentence when one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Settings, check_reachable, describe_settings, is_loopback, load_settings
from engine.errors import ConfigError


def test_defaults_need_nothing() -> None:
    assert load_settings() == Settings()


def test_later_sources_win(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[server]\nport = 1111\nhost = '127.0.0.2'\n[tags]\nmargin = 1\n")
    env = {"VIVAVOCE_SERVER_PORT": "2222", "VIVAVOCE_TAGS_FORGET_S": "5", "HOME": "/nowhere"}
    settings = load_settings(path, env, ["server.port=3333"])
    assert settings.server.port == 3333
    assert settings.server.host == "127.0.0.2"
    assert settings.tags.margin == 1.0
    assert settings.tags.forget_s == 5.0


def test_redis_url_is_taken_from_where_everybody_puts_it() -> None:
    assert load_settings(None, {"REDIS_URL": "redis://h/1"}).redis.url == "redis://h/1"
    both = {"REDIS_URL": "redis://h/1", "VIVAVOCE_REDIS_URL": "redis://h/2"}
    assert load_settings(None, both).redis.url == "redis://h/2"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("server.port=99999", "server.port = '99999' is not possible: a whole number from 0 to 65535"),
        ("server.port=x", "server.port = 'x' is not possible: a whole number"),
        ("tags.prior=1", "tags.prior = '1' is not possible: a number above 0 below 1"),
        ("log.level=loud", "log.level = 'loud' is not possible: allowed are debug, info, warning, error"),
        ("model.chunk_ms=100", "model.chunk_ms = '100' is not possible: allowed are 160, 320"),
        ("server.loopback_open=maybe", "true or false"),
        ("server.prot=1", 'unknown setting "server.prot"; did you mean "server.port"?'),
        ("nonsense", '"nonsense" is not of the form section.key=value'),
        ("rtp.timeout_s=0", "rtp.timeout_s = '0' is not possible: a number from 1 to 86400 s"),
        ("redis.url=http://me:sesame@h", "redis.url begins with 'http': allowed are redis://, rediss://, unix://"),
        ("redis.url=redis://h:notaport", "redis.url: its port is no number from 0 to 65535"),
        ("server.token=s3cret\n", "server.token holds a blank, a line's end or another sign"),
        ("server.token= ", "server.token holds a blank"),
        ("server.token=" + 513 * "x", "server.token has 513 characters: at most 512 are allowed"),
        ("server.cors_origins=foo", "server.cors_origins: 'foo' is no origin of the form https://host"),
        ("rtp.advertise=a b", "rtp.advertise = 'a b' is neither an address nor a host's name"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(None, None, [override])
    assert sentence in str(error.value)


def test_an_empty_text_unsets_what_may_be_unset() -> None:
    assert load_settings(None, {"VIVAVOCE_MODEL_CHUNK_MS": "320"}).model.chunk_ms == 320
    assert load_settings(None, {"VIVAVOCE_MODEL_CHUNK_MS": "320"}, ["model.chunk_ms="]).model.chunk_ms is None
    with pytest.raises(ConfigError, match="a whole number"):
        load_settings(None, None, ["model.workers="])


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match=r"rtp.port_max = 20000 must be above"):
        load_settings(None, None, ["rtp.port_max=20000"])
    with pytest.raises(ConfigError, match=r"tags.deepfake_llr = 3.0 must be below"):
        load_settings(None, None, ["tags.deepfake_llr=3", "tags.human_llr=2"])


def test_listening_beyond_this_machine_needs_a_token() -> None:
    with pytest.raises(ConfigError, match=r"server.host = '0.0.0.0' is reachable from outside: set server.token"):
        check_reachable(load_settings(None, None, ["server.host=0.0.0.0"]))
    check_reachable(load_settings(None, None, ["server.host=0.0.0.0", "server.token=t"]))


def test_what_others_put_into_the_environment_under_our_name_is_no_setting(caplog: pytest.LogCaptureFixture) -> None:
    """Kubernetes does, for a service that is called vivavoce."""
    env = {"VIVAVOCE_PORT": "tcp://10.0.0.1:8080", "VIVAVOCE_SERVICE_HOST": "10.0.0.1", "VIVAVOCE_TOKEN": "secret"}
    assert load_settings(None, env) == Settings()
    assert "VIVAVOCE_PORT in the environment is no setting" in caplog.text
    assert "secret" not in caplog.text
    with pytest.raises(ConfigError, match=r'VIVAVOCE_SERVER_PROT in the environment: unknown setting "server.prot"'):
        load_settings(None, {"VIVAVOCE_SERVER_PROT": "1"})


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"tags\.deepfake_llr = "):
        load_settings(None, None, [f"tags.deepfake_llr={value}"])


@pytest.mark.parametrize(("host", "want"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
                                            ("0.0.0.0", False), ("10.0.0.1", False), ("example.org", False)])  # fmt: skip
def test_loopback(host: str, want: bool) -> None:
    assert is_loopback(host) is want


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("[server")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_settings(tmp_path / "bad.toml")
    (tmp_path / "flat.toml").write_text("port = 1")
    with pytest.raises(ConfigError, match='"port" is a value'):
        load_settings(tmp_path / "flat.toml")


def test_a_secret_is_not_repeated_in_an_error() -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(None, None, ["redis.shard=-1"])
    assert "-1" in str(error.value)
    docs = {doc.name: doc for doc in describe_settings()}
    assert docs["server.token"].secret
    assert docs["redis.url"].secret


def test_every_setting_is_described() -> None:
    docs = describe_settings()
    assert len({doc.name for doc in docs}) == len(docs) > 30
    for doc in docs:
        assert doc.description
        assert doc.env == f"VIVAVOCE_{doc.name.replace('.', '_')}".upper()


def test_lists_and_unset_values_from_text() -> None:
    settings = load_settings(None, None, ["server.cors_origins=https://a, https://b", "tags.human_llr="])
    assert settings.server.cors_origins == ("https://a", "https://b")
    assert settings.tags.human_llr is None
