"""Mutants that no test could notice, and why: by part of ``mutate.py``, then by the mutant's name.

A name that no mutant has any more, or whose mutant a test does notice, is an error.
"""

from __future__ import annotations

EQUIVALENT: dict[str, dict[str, str]] = {
    "coordination": {
        "TableIntents.unmarked: always True: announced": "saves a question: no database has an oid that was not announced",
        "_prepare: always False: inside.value(\"SELECT pg_catalog.to_regclass('freshpg.intents')\") is not None": "saves two statements: what is there already is not made again",
    },
    "databases": {
        "Databases._drop: always True: facts.is_template": "what is no template may be told once more that it is none",
        "Databases._drop: always True: held": "saves some questions: a database that nobody is in can be shut too",
        "Databases._drop: always True: not self.own": "saves a renaming: on a server of our own nobody else renames",
        "Databases.clear_holders: always True: end_prepared_transactions(self.admin, facts)": "saves a question: the session that rolls back is one of ours, and nobody else came in",
    },
    "guarded": {
        "_exchanged: one more: 0": "the question failed, so one of the names means another database: there always is a first",
    },
    "holder": {
        "to_comment: one more: 1": "the middle of a search may be any place above the lower end and up to the higher one",
    },
    "lease": {
        "module: one more: 60.0": "61 seconds between signs of life do as well: a silent session ends after 900",
    },
    "sweep": {
        "_unleased: always False: number is None": "a lock of number NULL is never taken, so the name is passed over all the same",
    },
}
