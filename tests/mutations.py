"""Breaks the wiring of the train step and the care for runs one line at a time, and reports the changes that no test notices.

    python tests/mutations.py                            all of them, some seconds for each on one core
    python tests/mutations.py --only updates             those of one file
    python tests/mutations.py --missing --minutes 10     those that are not in the report, for 10 minutes

Each row names a file, a line of it, and the broken line: a sign, a stopped gradient, a key, a weight or an order. The tests run on a
copy of the tree, first the test that noticed the change the last time, then the files of tests nearest to the line, then all files that
run train steps. `FAULTS` brings back what docs/reliability.md says fell once, and names the tests that hold it. The report is
docs/data/mutations.jsonl. The exit status is 1 if a mutant survives that is not known to be equivalent. Not part of the test suite,
because it runs the suite many times.
"""

import argparse
import importlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "data" / "mutations.jsonl"
OBJECTIVES, UPDATES, RULES = "gan_jax/gan/player_losses.py", "gan_jax/gan/updates.py", "gan_jax/gan/update_rules.py"
TERMS, BUILD = "gan_jax/gan/loss_terms.py", "gan_jax/trainer/build/"

MUTANTS: tuple[tuple[str, str, str], ...] = (
    (OBJECTIVES, "        fake = jax.lax.stop_gradient(fake)\n", "        pass\n"),
    (OBJECTIVES, "real_logits - _reference(spec, fake_logits) > 0", "real_logits > 0"),
    (OBJECTIVES, '"real_target": real_target, "fake_target": fake_target}', '"real_target": fake_target, "fake_target": real_target}'),
    (OBJECTIVES, "(0.5 if spec.halve_discriminator_loss else 1.0)", "1.0"),
    (OBJECTIVES, "        loss += (penalty.weight(state.step)", "        loss -= (penalty.weight(state.step)"),
    (OBJECTIVES, "penalty.weight(state.step) if callable", "penalty.weight(0) if callable"),
    (OBJECTIVES, "        effective = jax.lax.stop_gradient(effective)\n    network_state", "        pass\n    network_state"),
    (OBJECTIVES, 'player="discriminator")', 'player="generator")'),
    (OBJECTIVES, "value * spec.top_k(fake_logits, state.step)", "value * spec.top_k(-fake_logits, state.step)"),
    (OBJECTIVES, "    return spec.adversarial_weight * started(spec, step)", "    return started(spec, step)"),
    (OBJECTIVES, "step >= spec.adversarial_start", "step > spec.adversarial_start"),
    (OBJECTIVES, "term.player != player or term.task != task", "term.player != player"),
    (OBJECTIVES, "lambda: penalty.interval * value(), lambda: zero", "lambda: value(), lambda: zero"),
    (OBJECTIVES, "        loss += term.weight * value\n", "        loss += value\n"),
    (UPDATES, "params.generator if generator is None else generator)", "params.generator)"),
    (UPDATES, "after if generator is None else _with_generator_state(after, state)", "after"),
    (UPDATES, "params.discriminator if discriminator is None else discriminator)", "params.discriminator)"),
    (UPDATES, "jax.tree.map(jnp.add, forward.vjp(fake_grads)[0], direct_grads)", "forward.vjp(fake_grads)[0]"),
    (UPDATES, "        weight *= _adaptive_weight(", "        weight = _adaptive_weight("),
    (UPDATES, "return terms_grads if all(own) else", "return terms_grads if any(own) else"),
    (UPDATES, "minibatch._replace(latents=latents, labels", "minibatch._replace(labels"),
    (UPDATES, "    return fake._replace(images=images), state._replace(replay=replay)", "    return fake, state._replace(replay=replay)"),
    (UPDATES, "gradients, old = spec.average(gradients), getattr(params, player)", "gradients, old = gradients, getattr(params, player)"),
    (UPDATES, "    frozen = state.step < freeze_steps\n", "    frozen = state.step > freeze_steps\n"),
    (UPDATES, "rng=jax.random.split(minibatch.rng, parts))", "rng=jnp.stack([minibatch.rng] * parts))"),
    (UPDATES, "lambda value: value / parts, total)", "lambda value: value, total)"),
    (UPDATES, "_with_generator_state(new, after)._replace(replay=after.replay)", "new._replace(replay=after.replay)"),
    (RULES, 'named_key(rng, f"round/{part}"))\n', 'named_key(rng, "round/0"))\n'),
    (RULES, "slice(part * (size // parts), (part + 1) * (size // parts))", "slice(0, size // parts)"),
    (RULES, 'if order == "discriminator_first"', 'if order != "discriminator_first"'),
    (RULES, '(number if generator_reals == "fresh" else -1)', "-1"),
    (RULES, '{"fake": forward.fake, "generator": params.generator}', '{"fake": forward.fake}'),
    (RULES, "past = opponents(params, state).generator", "past = None"),
    (RULES, "past = opponents(params, state).discriminator", "past = None"),
    (
        RULES,
        "    return of_discriminator + of_generator(fake, params.generator) - ",
        "    return of_discriminator + of_generator(fake, params.generator) + ",
    ),
    (RULES, "            for _ in range(unroll_steps):", "            for _ in range(min(unroll_steps, 1)):"),
    (
        RULES,
        "        return _apply_both(spec, field, params, after, metrics)",
        "        return _apply_both(spec, field, ahead, after, metrics)",
    ),
    (RULES, "        after = after._replace(optimizer=_with_averages_of(after.optimizer, state.optimizer))\n", ""),
    (RULES, "lambda f, n: f + consensus_weight * n", "lambda f, n: f - consensus_weight * n"),
    (RULES, '_loss"] > threshold) &', '_loss"] < threshold) &'),
    (TERMS, "jax.lax.stop_gradient(dict(context.real_output.features))", "dict(context.real_output.features)"),
    (
        TERMS,
        "_class_loss(context.real_output, context) + _class_loss(context.fake_output, context)",
        "_class_loss(context.real_output, context)",
    ),
    (TERMS, "    return _class_loss(context.fake_output, context)", "    return -_class_loss(context.fake_output, context)"),
    (TERMS, "_embedding_loss(context.fake_output, context, loss)", "_embedding_loss(context.real_output, context, loss)"),
    (TERMS, 'context.fake.extras.get("reconstruction", context.fake.images)', "context.fake.images"),
    (TERMS, 'losses.l1_loss(real, context.fake.extras["coarse"])', 'losses.l1_loss(made, context.fake.extras["coarse"])'),
    (TERMS, "    last = list(wanted)[-1]", "    last = list(wanted)[0]"),
    (TERMS, "penalties.orthogonal_penalty(context.raw_params)", "penalties.orthogonal_penalty(context.params)"),
    (TERMS, "    return repeat_reals(real_values, fake_values) + fake_values", "    return fake_values"),
    (TERMS, "    return context.generate(latents).images", "    return context.generate(context.minibatch.latents).images"),
    (TERMS, "jnp.where(context.step >= start_step, penalty, 0.0)", "jnp.where(context.step < start_step, penalty, 0.0)"),
    (TERMS, "jnp.where(context.step >= start_step, penalty, 0.0)", "jnp.where(context.step > start_step, penalty, 0.0)"),
    (TERMS, "penalties.drift_penalty, context.real_output.logits", "penalties.drift_penalty, context.fake_output.logits"),
    (TERMS, "    return 0.5 * value, state", "    return value, state"),
    (BUILD + "gan.py", 'is_weight if transform.spectral_norm_embeddings in (player, "both") else is_kernel', "is_kernel"),
    (BUILD + "gan.py", "target=options.target, one_sided=options.one_sided)", "target=options.target)"),
    (BUILD + "gan.py", "scheduled(weight), options.interval, ", "scheduled(weight), 1, "),
    (
        BUILD + "gan.py",
        "Players(config.update.freeze_generator, config.update.freeze_discriminator)",
        "Players(config.update.freeze_discriminator, config.update.freeze_generator)",
    ),
    (BUILD + "gan.py", "fake_low, fake_high = loss.fake_target or (0.0, 0.0)", "fake_low, fake_high = (0.0, 0.0)"),
    (BUILD + "gan.py", "images_per_logit=augment.pack,", "images_per_logit=1,"),
    (
        BUILD + "optimizer.py",
        '    return rule.generator_steps if player == "generator" and',
        '    return rule.generator_steps if player == "discriminator" and',
    ),
    (BUILD + "optimizer.py", "        b1=optimizer.b1,\n", "        b1=0.9,\n"),
    (BUILD + "optimizer.py", "        b2=optimizer.b2,\n", "        b2=0.999,\n"),
    (BUILD + "optimizer.py", "        discriminator_bound=optimizer.clip_weights or None,\n", ""),
    (BUILD + "optimizer.py", "        clip_norm=optimizer.clip_gradients or None,\n", ""),
    (
        BUILD + "terms.py",
        'LossTerm("orthogonal_generator", generator, stateless(orthogonality)',
        'LossTerm("orthogonal_generator", discriminator, stateless(orthogonality)',
    ),
    (BUILD + "terms.py", "one_sided=penalty.lecam_one_sided, start_step=penalty.lecam_start)", "one_sided=penalty.lecam_one_sided)"),
    (
        BUILD + "terms.py",
        "stateless(latent_diversity), penalty.latent_diversity)",
        "stateless(latent_diversity), penalty.latent_consistency)",
    ),
    (BUILD + "terms.py", 'add("kl", generator, loss.kl,', 'add("kl", generator, loss.reconstruction,'),
)

# Faults of runs and of readers, by their rows in docs/reliability.md ("What fell once"): file, line, broken line, and the tests of the row.
RUNS, STARTS, LOOP = "gan_jax/trainer/", ("tests/trainer/test_starts.py",), ("tests/trainer/test_loop.py",)
NOT_FINITE, PUBLISHED = ("tests/trainer/test_not_finite.py",), ("tests/trainer/test_published_runs.py",)
WEIGHTS, FILES, ARRAYS = ("tests/metrics/test_torch_weights.py",), ("tests/test_files.py",), ("tests/data/test_arrays.py",)
FAULTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # 1: a refused resume left traces, and a start replaced the record of the first one.
    (RUNS + "run_record.py", "            if self._resumed:  # The error", "            if False:  # The error", STARTS),
    (RUNS + "run_record.py", "        if not self._starts:\n", "        if True:\n", STARTS),
    (RUNS + "resume.py", "    keep_steps(run)\n", "", STARTS),
    # 2: any flag of XLA was taken from the run.
    ("gan_jax/cli/verify.py", " and match[1] in HARMLESS]", "]", ("tests/trainer/test_reproduce.py",)),
    ("gan_jax/cli/verify.py", 'r"--(\\w+)(=\\w{0,8})?"', 'r"--(\\w+)(=.*)?"', ("tests/trainer/test_reproduce.py",)),
    # 3: weights that are not finite were saved and measured.
    (RUNS + "saving.py", "    if not all_finite(state):\n", "    if False:\n", NOT_FINITE),
    (RUNS + "evaluate.py", "if broken := not_finite(fake):", "if (broken := not_finite(fake)) and False:", NOT_FINITE),
    # 4: small files claimed much.
    ("gan_jax/metrics/pickle_data.py", "        if self.size > MOST_VALUES:", "        if self.size < 0:", WEIGHTS),
    ("gan_jax/metrics/pickle_data.py", "        if self.depth > MOST_NESTING:", "        if self.depth < 0:", WEIGHTS),
    # 5: a directory that another one replaced was written to.
    (RUNS + "run_directory.py", "        if not self._is_at(self._path):", "        if False:", LOOP),
    (RUNS + "setup.py", "before_write=locks[0].check if locks else None,", "before_write=None,", LOOP),
    # 6: the last weights were lost with status 0.
    (RUNS + "loop.py", '        status = "finished" if stored else NOT_SAVED\n', '        status = "finished"\n', LOOP),
    ("gan_jax/cli/train.py", "0 if result.saved else NOT_SAVED", "0", LOOP),
    # 7: a run without a checkpoint began again over its logs.
    (RUNS + "resume.py", "    if latest is None and (", "    if False and (", STARTS),
    (RUNS + "resume.py", "(not run.may_restart or run.manager.steps())", "(not run.may_restart)", STARTS),
    # 8: a broken pipe or a hangup ended the training.
    (RUNS + "progress.py", "suppress(OSError, ValueError):  # ValueError", "suppress(ValueError):  # ValueError", LOOP),
    (RUNS + "loop.py", "            numbers.append(signal.SIGHUP)\n", "            pass\n", LOOP),
    # 9: pipes in place of files were waited for, and headers gave tracebacks.
    ("gan_jax/_internal/files.py", "    if not stat.S_ISREG(mode):", "    if False:", FILES),
    ("gan_jax/data/npz.py", "    except Exception as error:  # The header", "    except ValueError as error:  # The header", ARRAYS),
    ("gan_jax/data/arrays.py", "    except Exception as error:  # The header", "    except ValueError as error:  # The header", ARRAYS),
    # 10: a recipe was a path, and a lock that is a link was followed.
    (RUNS + "config/validate.py", '    if not re.fullmatch(r"(\\w[\\w.-]*)?", config.recipe):', "    if False:", LOOP),
    (RUNS + "run_directory.py", "    if (path / LOCK).is_symlink():", "    if False:", LOOP),
    # 11: JAX's debugging settings stopped a healthy run.
    ("gan_jax/gan/make.py", "with_default_promotion(train_step), with", "train_step, with", ("tests/gan/test_debugging_settings.py",)),
    # 12: the name of the machine and the numbers of errors were published.
    (RUNS + "writers/loggers.py", "path.rename(path.with_name(", "print(path.with_name(", PUBLISHED),
    ("gan_jax/_internal/files.py", "    reason = error.strerror or str(error)", "    reason = str(error)", PUBLISHED),
    # 13: rows without their machine.
    ("experiments/rows.py", ' | {"devices": devices, ', " | {", PUBLISHED),
)

# Broken lines that make the same steps, and why.
EQUIVALENT: dict[str, str] = {}

# The tests that lie nearest to a file.
GOLDEN = "tests/gan/test_golden_steps.py"
NEAR = {
    OBJECTIVES: (
        "tests/gan/test_adaptive_weight.py",
        "tests/gan/test_updates.py",
        "tests/gan/test_spec.py",
        "tests/gan/test_wiring.py",
        GOLDEN,
    ),
    UPDATES: (
        "tests/gan/test_adaptive_weight.py",
        "tests/gan/test_updates.py",
        "tests/gan/test_update_rules.py",
        "tests/gan/test_spec.py",
        GOLDEN,
    ),
    RULES: ("tests/gan/test_updates.py", "tests/gan/test_update_rules.py", "tests/gan/test_wiring.py", "tests/gan/test_step.py"),
    TERMS: ("tests/trainer/test_conditional_losses.py", "tests/gan/test_loss_terms.py", "tests/gan/test_wiring.py", GOLDEN),
    BUILD: ("tests/trainer/test_flags_reach_the_step.py", "tests/trainer/test_build.py", GOLDEN),
}
TESTS = (
    "tests/gan",
    "tests/trainer/test_build.py",
    "tests/recipes",
    "tests/trainer/test_configurations.py",
    "tests/distributed/test_devices.py",
)


def import_libraries() -> None:
    """Imports what each run of the tests needs except this package. The runs are forks of this process and import it no more."""
    runpy.run_path(str(ROOT / "tests" / "conftest.py"))  # The environment of the tests.
    for name in ("flax.linen", "hypothesis", "jax", "optax", "rich.console", "scipy.linalg", "tyro", "yaml"):
        importlib.import_module(name)


def noticed(tree: Path, tests: Sequence[str], timeout: int = 900) -> str:
    """Runs tests on a tree in a child process. Returns the first test that fails, or nothing."""
    output = tree.parent / "output"
    child = os.fork()
    if child == 0:
        signal.alarm(timeout)
        os.chdir(tree)
        sys.path[0] = str(tree)
        for stream in (1, 2):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if stream == 1 else os.O_WRONLY | os.O_APPEND), stream)
        os._exit(pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not long and not slow", *tests]))
    status, printed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output.read_text()
    if status == pytest.ExitCode.USAGE_ERROR and len(tests) == 1:  # The test has another name now.
        return ""
    if status < 0:  # The fault let a signal end the tests.
        return f"{' '.join(tests)} (ended by {signal.Signals(-status).name})"
    failed = [line.split(" ", 1)[1].split(" - ")[0] for line in printed.splitlines() if line.startswith(("FAILED", "ERROR "))]
    if status != 0 and not failed:  # The tests could not run at all.
        raise RuntimeError(printed[-2000:])
    return failed[0] if failed else ""


def copy_of_the_tree(scratch: str) -> Path:
    """What the tests need, in a directory whose files can be broken."""
    tree = Path(scratch) / "tree"
    for part in ("gan_jax", "experiments", "tests", "docs"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / part, tree / part)
    return tree


def read_report() -> dict[tuple[str, str, str], dict]:
    """The rows of the report by file, line and broken line."""
    rows = [json.loads(line) for line in REPORT.read_text().splitlines()] if REPORT.exists() else []
    return {(row["file"], row["line"], row["broken"]): row for row in rows}


def write_report(rows: dict[tuple[str, str, str], dict]) -> None:
    """Writes the rows of the mutants that there still are, in their order."""
    order = [*MUTANTS, *(fault[:3] for fault in FAULTS)]
    REPORT.write_text("".join(json.dumps(rows[mutant]) + "\n" for mutant in order if mutant in rows))


def main() -> int:
    """Runs the mutants that the arguments select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the name of the files to break")
    parser.add_argument("--faults", action="store_true", help="only the faults of runs and readers, without the train step")
    parser.add_argument("--missing", action="store_true", help="skip the mutants that are in the report")
    parser.add_argument("--survivors", action="store_true", help="only the mutants that survive according to the report")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no mutant after this time")
    parser.add_argument("--check", action="store_true", help="only look whether each line still occurs, exactly once")
    args = parser.parse_args()
    rows, start, alive = read_report(), time.monotonic(), 0
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    if not args.check:
        import_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        tree = copy_of_the_tree(scratch)
        for name, line, broken, *own in (*(() if args.faults else MUTANTS), *FAULTS):
            source, row = (ROOT / name).read_text(), rows.get((name, line, broken), {})
            if source.count(line) != 1:
                raise SystemExit(f"{name}: {line!r} occurs {source.count(line)} times. Name a line that occurs once")
            skipped = (args.missing and "commit" in row) or (args.survivors and row.get("noticed_by", "none"))
            if args.check or args.only not in name or skipped or time.monotonic() - start > 60 * args.minutes:
                continue
            (tree / name).write_text(source.replace(line, broken))
            begun, before = time.monotonic(), [row["noticed_by"]] if row.get("noticed_by") else []
            near = (own[0],) if own else (next(tests for part, tests in NEAR.items() if name.startswith(part)), TESTS)
            stages = (before, *near)
            test = next((found for tests in stages if tests and (found := noticed(tree, tests))), "")
            (tree / name).write_text(source)
            reason = EQUIVALENT.get(broken, "")
            alive += not test and not reason
            row = {"file": name, "line": line, "broken": broken, "noticed_by": test, "seconds": round(time.monotonic() - begun)}
            rows[name, line, broken] = row | {"equivalent": reason, "commit": commit}
            write_report(rows)
            print(f"{'noticed' if test else 'SURVIVED'}  {name}  {broken.strip()[:70]!r}  {test or reason}", flush=True)
    return int(alive > 0)


if __name__ == "__main__":
    raise SystemExit(main())
