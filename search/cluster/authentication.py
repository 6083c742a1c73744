"""Who may talk to Ray: the mode of a cluster is asked from it, and a token is a secret of its owner."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from search.cluster.ray_internals import head_refuses
from trainable.errors import ConfigError

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
TOKEN_FILE = "~/.ray/auth_token"


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process and of those that it starts, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def mode_of(address: str, host_and_port: str) -> str:
    """The mode with which to join a cluster; where driver and cluster differ, Ray itself loses every trial.

    Args:
        address: as the user named it.
        host_and_port: of its head.

    Returns:
        A value for `RAY_AUTH_MODE`.

    Raises:
        ConfigError: if the cluster's mode is not the one that was asked for, or the token is lacking or wrong.
    """
    named = os.environ.get(MODE, "").lower()
    asks = head_refuses(host_and_port)
    if asks is None:  # such as one with TLS, which Ray itself must speak to
        asks = named == "token" if named else _token() is not None
    elif named and (named == "token") != asks:
        runs = "with" if asks else "without"
        way_out = "export RAY_AUTH_MODE=token" if asks else "unset RAY_AUTH_MODE, or start the cluster with it"
        raise ConfigError(
            f"--address {address}: RAY_AUTH_MODE={named} is set, but that cluster runs {runs} tokens; {way_out}"
        )
    if asks:
        _check_token(address, host_and_port)
    return "token" if asks else "disabled"


def _check_token(address: str, host_and_port: str) -> None:
    found = _token()
    if found is None:
        raise ConfigError(
            f"--address {address}: that cluster asks for a token, and there is none; copy the head's {TOKEN_FILE} to "
            f"this machine (mode 600), or name it with {TOKEN_PATH}"
        )
    token, where = found
    if head_refuses(host_and_port, token):
        raise ConfigError(
            f"--address {address}: that cluster refuses the token of {where}; take the one of the cluster's head, "
            f"by default its {TOKEN_FILE}"
        )


def _token() -> tuple[str, str] | None:
    """The token that Ray would show, and where it stands.

    Raises:
        ConfigError: if its file cannot be read, or can be by others.
    """
    if token := os.environ.get(TOKEN):
        return token.strip(), TOKEN
    file = Path(os.environ.get(TOKEN_PATH) or TOKEN_FILE).expanduser()
    try:
        status, token = file.stat(), file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: Ray's token cannot be read ({error})") from None
    if status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(
            f"{file}: other users of this machine can read Ray's token, and with it run commands as you on the "
            f"cluster; `chmod 600 {file}`, and make a new token if somebody may have read it"
        )
    return (token, str(file)) if token else None
