"""Session: pipelined requests on one stream, and transactions."""

import itertools
import queue
import unittest

from skylinedb.v1 import ping_pb2, session_pb2

from skylinedb_test import DaemonTest, batch, python, query, statement

WRITE, READ = session_pb2.TRANSACTION_KIND_WRITE, session_pb2.TRANSACTION_KIND_READ


class Session:
    """A session that sends a request and waits for its answer."""

    def __init__(self, stub):
        self._requests = queue.SimpleQueue()
        self._ids = itertools.count(1)
        self._answers = stub.Session(iter(self._requests.get, None))

    def ask(self, **request):
        """The answer to one request; of a query, all its messages."""
        identity = next(self._ids)
        self._requests.put(session_pb2.SessionRequest(id=identity, **request))
        answers = [next(self._answers)]
        while answers[-1].more:
            answers.append(next(self._answers))
        assert all(answer.id == identity for answer in answers), answers
        return answers if "query" in request else answers[0]

    def execute(self, sql, *parameters):
        return self.ask(execute=batch(statement(sql, *parameters)))

    def rows(self, sql):
        answers = self.ask(query=query(sql))
        return [[python(value) for value in row.values] for answer in answers for row in answer.query.rows]

    def begin(self, kind):
        return self.ask(begin=session_pb2.BeginRequest(kind=kind))

    def commit(self):
        return self.ask(commit=session_pb2.CommitRequest())

    def rollback(self):
        return self.ask(rollback=session_pb2.RollbackRequest())

    def cancel(self):
        self._answers.cancel()

    def close(self):
        self._requests.put(None)
        return list(self._answers)


class Sessions(DaemonTest):
    def session(self):
        session = Session(self.stub)
        self.addCleanup(session.cancel)
        return session

    def test_pipelined_requests_are_answered_in_order(self):
        count = 2000
        inserts = (
            session_pb2.SessionRequest(id=n, execute=batch(statement("INSERT INTO t(id, x) VALUES (?, ?)", n, "x")))
            for n in range(1, count + 1)
        )
        answers = list(self.stub.Session(inserts))
        self.assertEqual([answer.id for answer in answers], list(range(1, count + 1)))
        self.assertEqual({answer.WhichOneof("response") for answer in answers}, {"execute"})
        revisions = [answer.execute.revision for answer in answers]
        self.assertEqual(revisions, list(range(revisions[0], revisions[0] + count)))

    def test_independent_writes_keep_their_order(self):
        count = 2000
        inserts = (
            session_pb2.SessionRequest(id=n, independent=True, execute=batch(statement("INSERT INTO t(x) VALUES (?)", n)))
            for n in range(1, count + 1)
        )
        answers = list(self.stub.Session(inserts))
        self.assertEqual(sorted(answer.id for answer in answers), list(range(1, count + 1)))
        self.assertEqual(self.query("SELECT count(*) FROM t WHERE id = x"), [[count]])

    def test_an_independent_request_is_no_part_of_the_transaction(self):
        session = self.session()
        session.begin(WRITE)
        session.execute("INSERT INTO t(x) VALUES (1)")
        answer = session.ask(independent=True, execute=batch(statement("SELECT count(*) FROM t")))
        self.assertEqual(answer.execute.results[0].rows[0].values[0].integer, 0)
        self.assertEqual(session.ask(independent=True, commit=session_pb2.CommitRequest()).error.code, 3)
        session.commit()
        self.assertEqual(self.query("SELECT count(*) FROM t"), [[1]])

    def test_a_request_can_be_given_up(self):
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        for independent in [False, True]:
            requests = queue.SimpleQueue()
            answers = self.stub.Session(iter(requests.get, None))
            requests.put(session_pb2.SessionRequest(id=7, independent=independent, execute=batch(statement(endless))))
            requests.put(session_pb2.SessionRequest(cancel=session_pb2.CancelRequest(id=7)))
            answer = next(answers)
            self.assertEqual((answer.id, answer.error.code), (7, 1))
            requests.put(None)
            self.assertEqual(list(answers), [])

    def test_a_request_sees_what_those_before_it_wrote(self):
        def requests():
            for n in range(100):
                yield session_pb2.SessionRequest(id=1, execute=batch(statement("INSERT INTO t(x) VALUES (1)")))
                yield session_pb2.SessionRequest(id=2, query=query("SELECT count(*) FROM t"))

        counts = [row.values[0].integer for answer in self.stub.Session(requests()) for row in answer.query.rows]
        self.assertEqual(counts, list(range(1, 101)))

    def test_a_failed_request_does_not_end_the_session(self):
        session = self.session()
        failed = session.execute("INSERT INTO nowhere VALUES (1)")
        self.assertEqual(failed.error.code, 5)
        self.assertEqual(session.ask(ping=ping_pb2.PingRequest()).WhichOneof("response"), "ping")

    def test_a_write_transaction_is_seen_when_it_is_committed(self):
        session = self.session()
        begun = session.begin(WRITE).begin.revision
        self.assertEqual(session.execute("INSERT INTO t(x) VALUES ('mine')").execute.revision, 0)
        self.assertEqual(session.rows("SELECT x FROM t"), [["mine"]])
        self.assertEqual(self.query("SELECT x FROM t"), [], "nobody else sees it yet")
        self.assertEqual(session.commit().commit.revision, begun + 1)
        self.assertEqual(self.query("SELECT x FROM t"), [["mine"]])

    def test_rollback_undoes(self):
        session = self.session()
        session.begin(WRITE)
        session.execute("INSERT INTO t(x) VALUES (1)")
        self.assertEqual(session.rollback().WhichOneof("response"), "rollback")
        self.assertEqual(self.query("SELECT x FROM t"), [])

    def test_a_stream_that_ends_rolls_back(self):
        for end in [Session.close, Session.cancel]:
            session = self.session()
            session.begin(WRITE)
            session.execute("INSERT INTO t(x) VALUES (1)")
            end(session)
            self.execute("INSERT INTO t(x) VALUES ('the writer is free')")
            self.assertEqual(self.query("SELECT x FROM t"), [["the writer is free"]])
            self.execute("DELETE FROM t")

    def test_a_read_transaction_sees_one_snapshot(self):
        session = self.session()
        session.begin(READ)
        self.assertEqual(session.rows("SELECT count(*) FROM t"), [[0]])
        self.execute("INSERT INTO t(x) VALUES (1)")
        self.assertEqual(session.rows("SELECT count(*) FROM t"), [[0]])
        session.commit()
        self.assertEqual(session.rows("SELECT count(*) FROM t"), [[1]])

    def test_a_read_transaction_refuses_to_write(self):
        session = self.session()
        session.begin(READ)
        self.assertEqual(session.execute("INSERT INTO t(x) VALUES (1)").error.code, 7)

    def test_commit_without_begin_is_an_error(self):
        session = self.session()
        self.assertEqual(session.commit().error.code, 9)
        self.assertEqual(session.rollback().error.code, 9)

    def test_begin_within_a_transaction_is_an_error(self):
        session = self.session()
        session.begin(WRITE)
        self.assertEqual(session.begin(WRITE).error.code, 9)
        self.assertEqual(session.commit().WhichOneof("response"), "commit", "and leaves the transaction open")

    def test_a_request_can_have_a_timeout(self):
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        session = self.session()
        (late,) = session.ask(query=query(endless), timeout_ms=200)[-1:]
        self.assertEqual(late.error.code, 4)
        self.assertEqual(session.rows("SELECT 1"), [[1]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
