/** A guest book in PostgreSQL. The pool finds its server in PGHOST, PGDATABASE and the like. */
export class Guestbook {
  constructor(pool) {
    this.pool = pool;
  }

  async write(author, words) {
    const { rows } = await this.pool.query(
      "INSERT INTO entries (author, words) VALUES ($1, $2) RETURNING id::int",
      [author, words],
    );
    return rows[0].id;
  }

  async read() {
    const { rows } = await this.pool.query("SELECT author, words FROM entries ORDER BY id");
    return rows;
  }
}
