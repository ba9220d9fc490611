"""A proxy over TCP, for those who do not have its token."""

import os
import unittest

import grpc
from skylinedb.v1 import ping_pb2
from skylinedb.v1.skylinedb_pb2_grpc import SkylineDbServiceStub

from skylinedb_test import DaemonTest, batch, open_channel, query, statement


class WithoutToken(DaemonTest):
    def setUp(self):
        super().setUp()
        channel = open_channel()
        self.addCleanup(channel.close)
        self.stranger = SkylineDbServiceStub(channel)

    def test_every_kind_of_call_is_refused_and_does_nothing(self):
        calls = [
            lambda **options: self.stranger.Ping(ping_pb2.PingRequest(), **options),
            lambda **options: self.stranger.Execute(batch(statement("INSERT INTO t(x) VALUES (1)")), **options),
            lambda **options: list(self.stranger.Query(query("SELECT 1"), **options)),
            lambda **options: list(self.stranger.Session(iter([]), **options)),
        ]
        for call in calls:
            for metadata, reason in [(None, "TOKEN_MISSING"), ([("authorization", "Bearer " + "0" * 64)], "TOKEN_WRONG")]:
                code, info = self.fails(lambda: call(metadata=metadata))
                self.assertEqual((code, info.reason), (grpc.StatusCode.UNAUTHENTICATED, reason))
        self.assertEqual(self.query("SELECT count(*) FROM t"), [[0]])

    def test_metadata_of_one_call_is_enough(self):
        with open(os.environ["SKYLINEDB_TEST_TOKEN_FILE"]) as token:
            metadata = [("authorization", "Bearer " + token.read())]
        self.stranger.Ping(ping_pb2.PingRequest(), metadata=metadata)


if __name__ == "__main__":
    unittest.main(verbosity=2)
