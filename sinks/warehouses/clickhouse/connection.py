"""Connections to a ClickHouse server, with deadlines for one that says nothing."""

from typing import Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from sinks.options import secret
from sinks.warehouses.clickhouse.address import Address

_CONNECT_TIMEOUT_S: Final = 10
_STATEMENT_TIMEOUT_S: Final = 60

SETTINGS: Final = {
    "async_insert": 0,  # a profile that turns it on may answer before a row is durable
    "max_query_size": 2_097_152,  # 256 KiB by default; the view of a history of 1,000 columns has up to some 800 KB
    "lightweight_deletes_sync": 2,  # what is deleted is gone when the statement is answered
}


def connect(address: Address) -> Client:
    """A client; the server has answered it.

    Errors: those of the driver; `SinkUnavailable` for a password that is not set.
    """
    password = "" if address.password_env is None else secret(address.password_env)
    return clickhouse_connect.get_client(
        interface=address.scheme,
        host=address.host,
        port=address.port,
        database=address.database,
        username=address.user,
        password=password,
        client_name="hookmill",
        connect_timeout=_CONNECT_TIMEOUT_S,
        send_receive_timeout=_STATEMENT_TIMEOUT_S,
        autogenerate_session_id=False,  # nothing here needs one, and through a load balancer it would get lost
        query_retries=0,  # the worker repeats
        settings=SETTINGS,
    )
