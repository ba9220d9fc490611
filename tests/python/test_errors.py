"""Errors as a Python program sees them: the status code, and the google.rpc.ErrorInfo in its details."""

import unittest

from grpc import StatusCode

from skylinedb_test import DaemonTest, batch, statement


class Errors(DaemonTest):
    def test_a_unique_constraint(self):
        self.execute("INSERT INTO t VALUES (1, 1)")
        code, info = self.fails(lambda: self.execute("INSERT INTO t VALUES (1, 1)"))
        self.assertEqual(code, StatusCode.ALREADY_EXISTS)
        self.assertEqual((info.domain, info.reason), ("skylinedb", "SQLITE_CONSTRAINT_PRIMARYKEY"))
        self.assertEqual(info.metadata["sqlite_code"], "1555")
        self.assertEqual(info.metadata["statement_index"], "0")

    def test_the_index_of_the_failed_statement(self):
        fine, wrong = statement("SELECT 1"), statement("SELECT 1 FROM nowhere")
        code, info = self.fails(lambda: self.stub.Execute(batch(fine, fine, wrong, fine)))
        self.assertEqual(code, StatusCode.NOT_FOUND)
        self.assertEqual(info.metadata["statement_index"], "2")

    def test_a_mistake_in_the_sql(self):
        code, info = self.fails(lambda: self.execute("SELECT 1 +"))
        self.assertEqual(code, StatusCode.INVALID_ARGUMENT)
        self.assertEqual(info.reason, "SQLITE_ERROR")

    def test_parameters_that_do_not_fit(self):
        for sql, parameters in [("SELECT ?", []), ("SELECT ?", [1, 2]), ("SELECT 1", [1]), ("SELECT :a", [])]:
            code, _ = self.fails(lambda: self.execute(sql, *parameters))
            self.assertEqual(code, StatusCode.INVALID_ARGUMENT, (sql, parameters))

    def test_a_batch_without_statements(self):
        code, _ = self.fails(lambda: self.stub.Execute(batch()))
        self.assertEqual(code, StatusCode.INVALID_ARGUMENT)

    def test_two_statements_in_one(self):
        code, _ = self.fails(lambda: self.execute("INSERT INTO t(x) VALUES (1); INSERT INTO t(x) VALUES (2)"))
        self.assertEqual(code, StatusCode.INVALID_ARGUMENT)
        self.assertEqual(self.query("SELECT count(*) FROM t"), [[0]])

    def test_a_query_that_writes(self):
        code, info = self.fails(lambda: self.query("DELETE FROM t"))
        self.assertEqual((code, info.reason), (StatusCode.PERMISSION_DENIED, "SQLITE_READONLY"))

    def test_the_same_request_id_with_other_statements(self):
        self.stub.Execute(batch(statement("INSERT INTO t(x) VALUES (1)"), request_id="test-errors"))
        other = batch(statement("INSERT INTO t(x) VALUES (2)"), request_id="test-errors")
        code, _ = self.fails(lambda: self.stub.Execute(other))
        self.assertEqual(code, StatusCode.INVALID_ARGUMENT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
