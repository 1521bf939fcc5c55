"""The environment in run.json."""

import subprocess

import gan_jax
from gan_jax.trainer import environment


def test_commit_is_that_of_the_package_and_says_whether_files_other_than_rows_differ(monkeypatch, tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        return subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    code, rows = tmp_path / "gan_jax" / "__init__.py", tmp_path / "docs" / "data" / "rows.jsonl"
    for path in (code, rows):
        path.parent.mkdir(parents=True)
        path.touch()
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(gan_jax, "__file__", str(code))
    head = git("rev-parse", "HEAD")
    assert environment.commit() == head
    rows.write_text("{}")
    assert environment.commit() == head
    code.write_text("1")
    assert environment.commit() == head + "+"


def test_a_package_without_a_repository_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(gan_jax, "__file__", str(tmp_path / "gan_jax" / "__init__.py"))
    assert environment.commit() == ""
