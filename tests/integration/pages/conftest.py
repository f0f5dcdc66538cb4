"""The gateways of the tests of REST serve the pages as well."""

from tests.integration.api.conftest import db, http, keyed_http, keyed_url, music, open_settings, open_url

__all__ = ["db", "http", "keyed_http", "keyed_url", "music", "open_settings", "open_url"]
