"""Many machines: sweeps over several nodes, of which one is killed; games in actors of Ray; clusters that are not there. All nodes are on this machine."""
import csv, json, os, shutil, signal, socket, subprocess, sys, time
from pathlib import Path

import numpy as np
import pytest

from mario_dqn.run.cluster import RayGames
from mario_dqn.run.files import RunFolder
from mario_dqn.settings import ConfigError, EnvConfig

pytest.importorskip('ray', reason="Ray is not installed; pip install -e '.[cluster]' brings it")

BRIEF = ['--preset', 'tiny', '--run.final_episodes', 1, '--run.eval_episodes', 1, '--env.stuck_limit', 2, '--agent.learning_starts', 64]
SHORT = [*BRIEF, '--steps', 200, '--run.eval_interval', 100, '--run.checkpoint_interval', 60, '--run.games', 2, '--run.games-on', 'threads', '--agent.value_bins', 0, '--agent.precision', 'float32']
HEAR = dict(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # some shells let what they start in the background ignore it

def sweep(*words, **options): # a process that is under way
    return subprocess.Popen([sys.executable, '-m', 'mario_dqn', 'sweep', '--run.record', 'False', *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

def ended(process, code=0, timeout=300): # returns what it said
    try: out, err = process.communicate(timeout=timeout)
    finally: process.kill()
    assert process.returncode == code, (out, err)
    return out, err

def rows(folder): return list(csv.DictReader((folder / 'sweep.csv').open()))

def marked(word):
    "The processes that have a word in their surroundings, as all have that came of one that was given it."
    found = []
    for path in Path('/proc').glob('[0-9]*/environ'):
        try: found += [path.parent.name] if word.encode() in path.read_bytes() else []
        except OSError: pass                                                               # it has ended, or is somebody else's
    return found

def assert_nothing_is_left(word, seconds=10):
    until = time.monotonic() + seconds
    while (left := marked(word)) and time.monotonic() < until: time.sleep(0.1)
    assert left == [], subprocess.run(['ps', '-o', 'pid,args', '-p', ','.join(left)], capture_output=True, text=True).stdout

def assert_same_run(one, two): # folders
    for name in ('metrics.csv', 'episodes.csv', 'evaluations.csv'): assert (one / name).read_bytes() == (two / name).read_bytes(), name
    for name in ('best.npz', 'last.npz'):
        with np.load(one / name) as a, np.load(two / name) as b:
            assert [key for key in a.files if key != 'about' and not np.array_equal(a[key], b[key])] == []

@pytest.fixture
def cluster(request):
    "A cluster of so many nodes with two processors each, beside one without; its address, and a function that kills one of them."
    from ray.cluster_utils import Cluster
    no_spare = dict(enable_worker_prestart=False, prestart_worker_first_driver=False)       # processes that nobody asked for
    cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, include_dashboard=False, _system_config=no_spare))
    nodes = [cluster.add_node(num_cpus=2) for _ in range(request.param)]
    yield cluster.address, lambda: cluster.remove_node(nodes.pop(), allow_graceful=False)
    cluster.shutdown()


@pytest.mark.full
@pytest.mark.parametrize('cluster, seeds, discounts', [pytest.param(2, [0, 1], [0.9], id='2'), pytest.param(3, [0, 1, 2], [0.9, 0.95], id='6')], indirect=['cluster'])
def test_a_sweep_of_so_many_runs_over_several_nodes_of_which_one_is_killed(cluster, tmp_path, command, promise, seeds, discounts):
    address, kill_node = cluster
    out = tmp_path / 'sweep'
    words = [*SHORT, '--seeds', *seeds, '--agent.discount', *discounts, '--out', out]
    started = sweep(*words, '--ray', address)
    def at_work(): return {path.parents[1] for path in out.glob('*/checkpoints/step_*') if int(path.name[5:]) >= 60}
    while len(at_work()) < len(seeds) and started.poll() is None: time.sleep(0.1)
    kill_node()
    said, err = ended(started)
    found = rows(out)
    assert len(found) == len(seeds) * len(discounts) and all(row['state'] == 'finished' for row in found) and err == '', (said, err)
    again = [row for row in found if row['tries'] == '2']
    assert len(again) == 1 and 'It is tried again.' in said, said                          # the one that the node had
    row, alone = again[0], tmp_path / 'alone'                                              # with the same files as alone
    done = command('train', *SHORT, '--run.no_record', '--seed', row['seed'], '--agent.discount', (row['settings'] or '0.9').split()[-1], '--out', alone)
    assert done.returncode == 0, done.stderr
    assert_same_run(alone, out / row['run'])
    made = {run.name: run.stat().st_mtime_ns for run in out.glob('*/results.json')}
    ended(sweep(*words, '--ray', address))                                                 # called again, it has nothing to do
    assert {run.name: run.stat().st_mtime_ns for run in out.glob('*/results.json')} == made
    assert (out / 'sweep.png').stat().st_size > 10_000
    promise('a node of a cluster killed while it carries out a run of a sweep', 'the run ends elsewhere, with the same files as alone', len(again))


HALVING = '''
import json, sys
from pathlib import Path
from mario_dqn.cli import _plans_of, parse
from mario_dqn.run.cluster import join_cluster, leave_cluster
from mario_dqn.run.sweep import Sweep, collect_files
if __name__ == '__main__':
    out, *words = sys.argv[1:]
    join_cluster(cpus=4)
    Path(out).mkdir()
    options, _ = parse(['sweep', *words])
    sweep = Sweep(_plans_of(options), out)
    sweep.mark = (Path(out) / 'of another disk', '')  # so the files have to come back
    moved = []
    sweep.run(options.keep_best, options.after)
    print(json.dumps([[run.plan.name, run.state, run.node is not None, run.evaluations[-1]['step']] for run in sweep.runs]))
    leave_cluster()
'''

@pytest.mark.full
def test_only_the_best_settings_go_on_and_files_come_back(tmp_path, python):
    done = python(HALVING, tmp_path / 'sweep', *SHORT, '--run.record', 'False', '--agent.discount', 0.5, 0.9, '--keep_best', 1, '--after', 100)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout.splitlines()[-1])
    assert sorted(state for _, state, _, _ in runs) == ['dropped', 'finished'] and all(elsewhere for *_, elsewhere, _ in runs)
    assert sorted(step for *_, step in runs) == [100, 200], runs
    name, = (name for name, state, _, _ in runs if state == 'finished')
    assert (tmp_path / 'sweep' / name / 'results.json').exists()


@pytest.mark.full
def test_a_run_that_cannot_be_is_tried_three_times_and_the_others_end(tmp_path, command):
    out = tmp_path / 'sweep'
    out.mkdir()
    (out / '1-1-seed1').write_text('no folder')
    done = command('sweep', *SHORT, '--run.record', 'False', '--seeds', 0, 1, '--out', out, '--json')
    assert (done.returncode, done.stderr) == (1, ''), done.stderr
    good, bad = json.loads(done.stdout)['runs']
    assert (good['state'], good['tries']) == ('finished', 1) and (bad['state'], bad['tries']) == ('failed', 3)
    assert 'is a file' in bad['reason'] and (out / 'sweep.log').read_text().count('is a file') == 3


@pytest.mark.full
def test_ctrl_c_leaves_a_checkpoint_and_no_process(tmp_path):
    out, word = tmp_path / 'sweep', f'TRIED_BY={tmp_path}'
    started = sweep(*BRIEF, '--steps', 100_000, '--run.checkpoint_interval', 100_000, '--out', out, start_new_session=True, env=os.environ | dict([word.split('=')]), **HEAR)
    while not list(out.glob('*/metrics.csv')) and started.poll() is None: time.sleep(0.1)
    assert len(marked(word)) > 3                                                           # the command, Ray, the run and its games
    os.killpg(started.pid, signal.SIGINT)                                                  # as a terminal does: to all of them
    said, err = ended(started, 130, timeout=60)
    folder = RunFolder(out / '1-1-seed0')
    last = max(int(path.name[5:]) for path in folder.checkpoints.glob('step_*'))
    assert 0 < last == json.loads(folder.machine.read_text())['steps']          # of the step of the signal
    assert err == 'mario_dqn: interrupted.\n' and 'the same command goes on' in said
    assert_nothing_is_left(word)


def test_a_cluster_that_cannot_be_reached_is_named_at_once(tmp_path, command):
    server = socket.create_server(('127.0.0.1', 0))                                        # something else listens there
    for address in ('nowhere', f'127.0.0.1:{server.getsockname()[1]}'):
        begun = time.monotonic()
        done = command('sweep', *SHORT, '--out', tmp_path / 'sweep', '--ray', address)
        assert (done.returncode, done.stdout) == (2, '') and done.stderr.count('\n') == 1 and address in done.stderr, done.stderr
        assert time.monotonic() - begun < 20                                               # ten seconds, but that the machine is busy
    server.close()


def test_without_ray_a_command_says_what_to_install(tmp_path, python, monkeypatch):
    done = python('import sys; sys.modules["ray"] = None; from mario_dqn.cli import main; sys.exit(main())', 'sweep', '--out', tmp_path / 'sweep')
    assert done.returncode == 2 and done.stderr.count('\n') == 1 and "pip install -e '.[cluster]'" in done.stderr, done.stderr
    assert not (tmp_path / 'sweep').exists()
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ConfigError, match='pip install'): RayGames(EnvConfig(), 2)


GAMES = '''
import json, sys
from mario_dqn.settings import from_toml, with_values
from mario_dqn.runner import Callback
from mario_dqn.run.cluster import import_ray, join_cluster, leave_cluster
from mario_dqn.run.train import Interrupted, go_on, train

class At(Callback):
    "Does something at a step."
    def __init__(self, step, call): self.step, self.call = step, call
    def after_step(self, runner, result, epsilon):
        if runner.step == self.step: self.call(runner)

def stop(runner): runner.stop('the test')
def kill(runner): import_ray().kill(runner.games.actors[1])
if __name__ == '__main__':
    folder, text = sys.argv[1:]
    config, said = from_toml(text), []
    join_cluster(cpus=6)
    train(with_values(config, {'run.games_on': 'process'}), f'{folder}/process', say=said.append)
    train(with_values(config, {'run.games_on': 'ray'}), f'{folder}/ray', say=said.append)
    for before, after in (('ray', 'threads'), ('process', 'ray')):
        path = f'{folder}/{before}-{after}'
        try: train(with_values(config, {'run.games_on': before}), path, callbacks=[At(160, stop)], say=said.append)
        except Interrupted: pass
        file = open(f'{path}/config.toml', 'r+')
        changed = file.read().replace(f'games_on = "{before}"', f'games_on = "{after}"')
        file.seek(0); file.write(changed); file.truncate(); file.close()
        go_on(path, say=said.append)
    assert not any('bit for bit' in sentence for sentence in said), said
    two = with_values(config, {'run.games_on': 'ray', 'run.games_per_actor': 2})
    for name in ('one', 'other'): train(two, f'{folder}/{name}', say=said.append)
    train(two, f'{folder}/killed', callbacks=[At(160, kill)], say=said.append)
    leave_cluster()
    print(json.dumps(said))
'''

@pytest.mark.full
def test_games_on_actors_give_the_numbers_of_a_process_and_one_that_dies_is_replaced(tmp_path, python, short, promise):
    from mario_dqn.settings import to_toml, with_values
    config = with_values(short, {'run.games': 4, 'env.frame_skip': 2, 'agent.learning_starts': 64, 'run.checkpoint_interval': 120, 'run.steps': 320})
    done = python(GAMES, tmp_path, to_toml(config))
    assert done.returncode == 0 and done.stderr == '', done.stderr
    for other in ('ray-threads', 'ray', 'process-ray'): assert_same_run(tmp_path / 'process', tmp_path / other)
    assert_same_run(tmp_path / 'one', tmp_path / 'other')               # two actors: other numbers, but always the same
    faults = [json.loads(line) for line in (tmp_path / 'killed/faults.jsonl').read_text().splitlines()]
    assert [(fault['game'], fault['kind'], fault['during'], fault['step']) for fault in faults] == [(2, 'lost', 'training', 164), (3, 'lost', 'training', 164)]
    assert json.loads((tmp_path / 'killed/machine.json').read_text())['outcome'] == 'finished'
    assert sum('broke in episode' in sentence for sentence in json.loads(done.stdout.splitlines()[-1])) == 2
    promise('an actor that plays games of a run killed', 'its games begin anew, and the run goes on', 1)
