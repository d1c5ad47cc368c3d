"""The wire: every command and event of the company, its envelope, its subjects and its codec. No I/O."""
