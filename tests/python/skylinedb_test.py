"""What the tests in this folder share. Run them by `./scripts/test --test python`."""

import os
import unittest

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from skylinedb.v1 import execute_pb2, statement_pb2, value_pb2
from skylinedb.v1.skylinedb_pb2_grpc import SkylineDbServiceStub

# As the comment in skylinedb.proto advises: grpcio's own limit is 4 MiB.
OPTIONS = [("grpc.max_receive_message_length", 64 << 20)]


class Token(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends a proxy's token with every call, as docs/proxy.md has it."""

    def __init__(self, file):
        with open(file) as token:
            self.metadata = [("authorization", "Bearer " + token.read())]

    def add(self, proceed, call, request):
        return proceed(call._replace(metadata=[*(call.metadata or []), *self.metadata]), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = add


def open_channel():
    """A channel to the daemon that `SKYLINEDB_ENDPOINT` names; by the proxy `SKYLINEDB_TEST_PROXY`, if there is one."""
    target = os.environ.get("SKYLINEDB_TEST_PROXY") or "unix:" + os.environ["SKYLINEDB_ENDPOINT"]
    return grpc.insecure_channel(target, options=OPTIONS)


class DaemonTest(unittest.TestCase):
    """A test with a stub of the daemon and an empty table `t(id INTEGER PRIMARY KEY, x)`."""

    def setUp(self):
        channel = open_channel()
        self.addCleanup(channel.close)
        if token_file := os.environ.get("SKYLINEDB_TEST_TOKEN_FILE"):
            channel = grpc.intercept_channel(channel, Token(token_file))
        self.stub = SkylineDbServiceStub(channel)
        self.execute("DROP TABLE IF EXISTS t")
        self.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")

    def execute(self, sql, *parameters, **options):
        """Runs one statement as a batch of its own."""
        return self.stub.Execute(batch(statement(sql, *parameters)), **options)

    def query(self, sql, *parameters, **options):
        """All rows of a query, as lists of Python values."""
        messages = self.stub.Query(query(sql, *parameters), **options)
        return [[python(value) for value in row.values] for message in messages for row in message.rows]

    def fails(self, call):
        """The status code and the ErrorInfo of the error that a call must end with."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        return caught.exception.code(), error_info(caught.exception)


def value(python_value):
    """A Python value as a SkylineDB value."""
    match python_value:
        case None:
            return value_pb2.Value()
        case int():
            return value_pb2.Value(integer=python_value)
        case float():
            return value_pb2.Value(real=python_value)
        case str():
            return value_pb2.Value(text=python_value)
        case bytes():
            return value_pb2.Value(blob=python_value)
    raise TypeError(python_value)


def python(skylinedb_value):
    """A SkylineDB value as a Python value."""
    kind = skylinedb_value.WhichOneof("kind")
    return getattr(skylinedb_value, kind) if kind else None


def statement(sql, *parameters):
    return statement_pb2.Statement(sql=sql, parameters=map(value, parameters))


def batch(*statements, **fields):
    return execute_pb2.ExecuteRequest(statements=statements, **fields)


def query(sql, *parameters):
    from skylinedb.v1 import query_pb2

    return query_pb2.QueryRequest(statement=statement(sql, *parameters))


def error_info(error):
    """The google.rpc.ErrorInfo of an error, or None."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None
