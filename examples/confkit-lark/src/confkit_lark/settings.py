"""The settings of the Lark provider."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import min_len

from confkit.provider import HttpSettings, http_url, without_credentials


@frozen(kw_only=True)
class LarkSettings(HttpSettings):
    """Each is a keyword, or an environment variable such as ``LARK_ACCOUNT``.

    Args:
        account: the account's id; it stands in every path.
        token: the account's token.
        signing_key: what webhooks are signed with.
        base_url: of the API.
        ca_file, proxy: see :class:`confkit.provider.HttpSettings`.
    """

    account: str = field(validator=min_len(1))
    token: str = field(repr=False, validator=min_len(1))
    signing_key: str = field(repr=False, validator=min_len(1))
    base_url: str = field(default="https://api.lark.example", converter=http_url, repr=without_credentials)
