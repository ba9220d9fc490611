"""Ping, Execute and Query."""

import math
import os
import struct
import threading
import unittest

import grpc
from skylinedb.v1 import ping_pb2, statement_pb2

from skylinedb_test import DaemonTest, batch, query, statement, value

MILLION = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i FROM n"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


class Calls(DaemonTest):
    def test_ping_says_who_is_there(self):
        pong = self.stub.Ping(ping_pb2.PingRequest())
        self.assertTrue(os.path.samefile(os.path.dirname(pong.database), os.path.dirname(os.environ["SKYLINEDB_ENDPOINT"])))
        os.kill(pong.pid, 0)
        self.assertRegex(pong.sqlite_version, r"^3\.\d+\.\d+$")

    def test_a_batch_is_one_revision(self):
        before = self.stub.Ping(ping_pb2.PingRequest()).revision
        rows = [statement("INSERT INTO t(x) VALUES (?)", n) for n in range(100)]
        answer = self.stub.Execute(batch(*rows))
        self.assertEqual(answer.revision, before + 1)
        self.assertEqual([result.last_insert_rowid for result in answer.results], list(range(1, 101)))

    def test_a_batch_is_all_or_nothing(self):
        with self.assertRaises(grpc.RpcError):
            self.stub.Execute(batch(statement("INSERT INTO t(x) VALUES (1)"), statement("INSERT INTO nowhere VALUES (1)")))
        self.assertEqual(self.query("SELECT count(*) FROM t"), [[0]])

    def test_named_parameters(self):
        named = statement_pb2.Statement(sql="SELECT :a, @b, $c", named_parameters={"a": value(1), "@b": value("two"), "c": value(None)})
        (row,) = self.stub.Execute(batch(named)).results[0].rows
        self.assertEqual([v.WhichOneof("kind") for v in row.values], ["integer", "text", None])

    def test_a_request_id_makes_a_retry_safe(self):
        insert = batch(statement("INSERT INTO t(x) VALUES (1)"), request_id="test-calls")
        first, second = self.stub.Execute(insert), self.stub.Execute(insert)
        self.assertEqual((first.replayed, second.replayed), (False, True))
        self.assertEqual(first.revision, second.revision)
        self.assertEqual(self.query("SELECT count(*) FROM t"), [[1]])

    def test_values_keep_every_bit(self):
        for given in [None, 2**63 - 1, -(2**63), 0, 0.1, -0.0, math.inf, -math.inf, "", "a\0b", "snow ☃", b"", bytes(range(256))]:
            self.execute("DELETE FROM t")
            self.execute("INSERT INTO t(x) VALUES (?)", given)
            ((back,),) = self.query("SELECT x FROM t")
            self.assertIs(type(back), type(given))
            if isinstance(given, float):
                self.assertEqual(struct.pack("d", back), struct.pack("d", given))
            else:
                self.assertEqual(back, given)

    def test_query_streams(self):
        messages = self.stub.Query(query(MILLION))
        self.assertEqual([column.name for column in next(messages).columns], ["i"])
        numbers = (row.values[0].integer for message in messages for row in message.rows)
        self.assertTrue(all(number == expected for expected, number in enumerate(numbers, start=1)))

    def test_a_cancelled_query_stops(self):
        messages = self.stub.Query(query(ENDLESS))
        next(messages)
        messages.cancel()
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in messages:
                pass
        self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)
        self.execute("INSERT INTO t(x) VALUES (1)")

    def test_a_deadline_ends_a_query(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.query("SELECT count(*) FROM (" + ENDLESS + ")", timeout=0.3)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_a_deadline_ends_a_write_and_leaves_nothing(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.execute("INSERT INTO t(x) " + ENDLESS, timeout=0.3)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(self.query("SELECT count(*) FROM t"), [[0]])
        self.execute("INSERT INTO t(x) VALUES ('the writer is free')")

    def test_a_cancelled_write_leaves_nothing(self):
        call = self.stub.Execute.future(batch(statement("INSERT INTO t(x) " + ENDLESS)))
        threading.Timer(0.1, call.cancel).start()
        with self.assertRaises(grpc.FutureCancelledError):
            call.result()
        self.execute("INSERT INTO t(x) VALUES ('the writer is free')")
        self.assertEqual(self.query("SELECT x FROM t"), [["the writer is free"]])

    def test_many_threads_write_at_once(self):
        threads, rows = 16, 50
        failures = []

        def write():
            try:
                for n in range(rows):
                    self.execute("INSERT INTO t(x) VALUES (?)", n)
            except grpc.RpcError as error:
                failures.append(error)

        writers = [threading.Thread(target=write) for _ in range(threads)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.query("SELECT count(*) FROM t"), [[threads * rows]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
