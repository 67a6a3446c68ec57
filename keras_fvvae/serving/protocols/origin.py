"""Who may ask: against web pages that reach a server of this machine or network through a visitor's browser.

A page anywhere can send requests to a loopback address, and a name that its owner points there (DNS rebinding) makes
the answers its own. The browser tells both: `Host` is the name that it was given, `Origin` the page's.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keras_fvvae.serving.errors import ServingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keras_fvvae.serving.settings import ServerSettings

_LOCAL_NAME = "localhost"


def check_sender(headers: Mapping[str, str], settings: ServerSettings) -> None:
    """Refuses a request for a name that this server does not have, or from another site's page.

    Args:
        headers: of the request, by lower-case name.
        settings: `ServerSettings`; its `host` and `allowed_hosts` say which names the server has.

    Raises:
        ServingError: PERMISSION_DENIED (403).
    """
    authority = headers.get("host", "")
    if authority and not _is_ours(_name(authority), settings):
        raise _refused(f"The server is not called {authority!r}; `--allowed-host` adds a name.")
    origin = headers.get("origin")
    if origin is not None and not _is_same_site(origin, authority, settings):
        raise _refused(f"Requests from pages of {origin!r} are not answered.")
    if origin is None and headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        raise _refused("Requests from pages of other sites are not answered.")


def _refused(message):
    return ServingError("PERMISSION_DENIED", message, http_status=403)


def _is_ours(name, settings):
    if settings.allowed_hosts:
        if name in map(str.lower, settings.allowed_hosts):
            return True
    elif not _is_loopback(settings.host):
        return True  # it is there for others, by names that nobody has told
    return name == settings.host.lower() or _is_address(name) or _is_local(name)


def _is_same_site(origin, authority, settings):
    try:
        page = urlsplit(origin.lower())
        name = page.hostname or ""
    except ValueError:
        return False
    if page.scheme not in ("http", "https"):  # "null" above all: a file, or a page in a sandbox
        return False
    return page.netloc == authority.lower() or name in map(str.lower, settings.allowed_hosts)


def _name(authority):
    """Of `name:port`, `1.2.3.4:port` or `[::1]:port`."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _is_address(name):
    """An address is no name that somebody could point elsewhere."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_local(name):
    return name == _LOCAL_NAME or name.endswith("." + _LOCAL_NAME)


def _is_loopback(host):
    return _is_local(host.lower()) or (_is_address(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback)
