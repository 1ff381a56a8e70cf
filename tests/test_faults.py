"""A run whose games break in many ways, whose process of the games is lost, or whose learning fails."""
import collections, json, math, signal, time

import numpy as np
import pytest

from mario_dqn import evaluation
from mario_dqn.run.checkpoint import load_agent, newest_checkpoint, save_weights
from mario_dqn.settings import TrainingError, with_values
from mario_dqn.runner import Callback
from mario_dqn.run.train import Interrupted, go_on, new_folder, stage, train

TABLES = ('metrics', 'episodes', 'evaluations')


def quiet(*words): pass

class StopAt(Callback):
    "Asks the runner to stop at a step, as Ctrl-C does."
    def __init__(self, at): self.at = at
    def after_step(self, runner, result, epsilon):
        if runner.step + runner.config.run.games == self.at: runner.stop(signal.SIGINT)

def until_stopped(call):
    "The runner of a training, and how it ended."
    try: return call()
    except Interrupted as interrupt: return interrupt.runner, 'interrupted'

@pytest.fixture(scope='module')
def whole(short, tmp_path_factory):
    "The folder of a run that nothing happened to."
    folder = new_folder(tmp_path_factory.mktemp('whole') / 'run')
    train(short, folder, say=quiet)
    return folder


# stopped, with files damaged meanwhile

class Look(Callback):
    "Reads the best weights when a run goes on."
    def __init__(self, folder): self.folder = folder
    def resume(self, runner, state): self.best = self.folder.best.read_bytes() if self.folder.best.exists() else None

def test_a_run_that_is_stopped_and_damaged_leaves_the_same_files(short, whole, tmp_path):
    folder, said = new_folder(tmp_path / 'run'), []
    look = Look(folder)
    def go(at): return until_stopped(lambda: go_on(folder, callbacks=[look, StopAt(at)], say=said.append))
    _, outcome = until_stopped(lambda: train(short, folder, callbacks=[StopAt(200)], say=quiet))
    assert (outcome, stage(folder)) == ('interrupted', 'training')
    save_weights(folder.best, {'other': np.zeros(3, 'float32')}, short)      # as if an evaluation had come after the checkpoint
    segment = next(iter(newest_checkpoint(folder.checkpoints)[0].segments.values()))
    (folder.checkpoints / 'frames' / f'{segment["sha256"]}.npz').unlink()
    runner, outcome = go(304)
    assert (outcome, runner.step, look.best) == ('interrupted', 304, None)    # at step 200 there was no evaluation yet
    assert any('nothing is lost' in sentence for sentence in said) and not any('not bit for bit' in s for s in said)
    best = folder.best.read_bytes()
    folder.best.write_bytes(b'no weights')
    runner, outcome = go(None)
    assert (outcome, stage(folder), look.best) == ('finished', 'measuring', best)
    for name in (*TABLES, 'best', 'last'): assert getattr(whole, name).read_bytes() == getattr(folder, name).read_bytes(), name


# games that break

class BreakGames(Callback):
    "Has games break in some steps of all games: {number of the step: {game: how}}."
    def __init__(self, plan): self.plan = plan

    def start(self, runner):
        games, count = runner.games, runner.config.run.games
        send = games.step_async
        def breaking(actions):
            for game, how in self.plan.get(runner.step // count, {}).items(): spoil(games.games[game], how)
            send(actions)
        games.step_async = breaking

def spoil(game, how):
    "Have the next step of a game raise an error, give no number, never come back, or end without a next beginning."
    step = game.env.step
    def pulled(**kwargs): raise OSError('the cable was pulled')
    def spoiled(action):
        if how == 'hung': time.sleep(3600)
        if how == 'raised': pulled()
        observation, reward, terminated, truncated, info = step(action)
        if how == 'reward': return observation, math.nan, terminated, truncated, info
        game.env.reset = pulled
        return observation, reward, terminated, True, info
    game.env.step = spoiled

PLAN = ({12 + 10 * i: {i % 4: 'raised'} for i in range(5)}
        | {15 + 10 * i: {(i + 1) % 4: 'reward'} for i in range(5)}
        | {20: {0: 'hung', 1: 'hung', 2: 'hung'}, 60: {1: 'hung'}, 30: {0: 'beginning'}, 56: {3: 'beginning'}})

@pytest.fixture(scope='module')
def broken(short, tmp_path_factory):
    "Sixteen games break in 300 agent steps, before and after an interruption: folder, runner, what was said."
    config = with_values(short, {'run.games': 4, 'run.steps': 300, 'run.eval_interval': 300, 'run.game_timeout': 3.0,
                                 'run.game_threads': 4, 'agent.learning_starts': 64})
    folder, said = new_folder(tmp_path_factory.mktemp('broken') / 'run'), []
    runner, outcome = until_stopped(lambda: train(config, folder, callbacks=[BreakGames(PLAN), StopAt(200)], say=said.append))
    assert outcome == 'interrupted' and runner.step == 200 and runner.faults == 12
    middle = folder.faults.read_bytes()
    folder.faults.write_bytes(middle + b'{"step": 204, "ga')                   # after the checkpoint, and not to its end
    runner, outcome = go_on(folder, callbacks=[BreakGames(PLAN)], say=said.append)
    assert outcome == 'finished' and runner.step == 300 and folder.faults.read_bytes().startswith(middle)
    return folder, runner, said

def test_sixteen_games_break_in_a_run_and_it_comes_to_its_end(broken):
    folder, runner, said = broken
    rows = [json.loads(line) for line in folder.faults.read_text().splitlines()]
    assert collections.Counter(row['kind'] for row in rows) == dict(raised=7, reward=5, hung=4) and runner.faults == 16
    assert [(row['step'] // 4 - 1, row['game']) for row in rows] == [(at, game) for at in sorted(PLAN) for game in PLAN[at]]
    assert 'Games broke and began anew 12 times before this checkpoint, see faults.jsonl.' in said
    assert any('not bit for bit' in sentence for sentence in said)

def test_what_ended_is_kept_and_what_could_not_begin_is_the_fault(broken):
    folder, *_ = broken
    rows = [json.loads(line) for line in folder.faults.read_text().splitlines()]
    ended = {tuple(map(int, line.split(',')[:3])) for line in folder.episodes.read_text().splitlines()[1:]}  # (step, game, episode)
    for at, game in ((30, 0), (56, 3)):
        row = next(row for row in rows if (row['step'], row['game']) == (4 * at + 4, game))
        assert (row['step'], game, row['episode'] - 1) in ended and row['what'] == 'OSError: the cable was pulled'
        assert not {episode for episode in ended if episode[1:] == (game, row['episode'])}

def test_nothing_of_the_broken_episodes_is_left_to_learn_from(broken):
    folder, runner, _ = broken
    replay, recorded = runner.replay, collections.Counter()
    for line in folder.episodes.read_text().splitlines()[1:]: recorded[int(line.split(',')[1])] += int(line.split(',')[8])
    for game, current in enumerate(runner.games.games):
        slots = np.arange(game * replay.lane, (game + 1) * replay.lane)
        unfinished = max(0, current.length - 2)                                # the windows of its last two steps are not complete
        assert (replay.tree.values(slots) > 0).sum() == recorded[game] + unfinished, game
    assert np.isfinite(replay.reward).all()
    assert len(replay) == sum(recorded.values()) + sum(max(0, game.length - 2) for game in runner.games.games) < 300

class KillGames(Callback):
    "Kills the process of the games at step 200."
    def interval(self, runner, row):
        if row['step'] == 200: runner.games.process.kill()

def test_a_lost_process_of_the_games_ends_the_run_which_then_goes_on_exactly(short, whole, tmp_path):
    folder = new_folder(tmp_path / 'run')
    config = with_values(short, {'run.games_on': 'process', 'run.checkpoint_interval': 80})
    with pytest.raises(TrainingError, match='after step 200: The process that plays the games was ended by signal 9'):
        train(config, folder, callbacks=[KillGames()], say=quiet)
    assert go_on(folder, say=quiet)[1] == 'finished'
    for name in (*TABLES, 'last'):
        ours, theirs = getattr(whole, name).read_bytes(), getattr(folder, name).read_bytes()
        assert ours == theirs, name

def test_a_game_that_breaks_in_an_evaluation_changes_no_number(short, tmp_path, monkeypatch):
    advance, calls, tables, said = evaluation.Lane.advance, [], [], []
    def sometimes(lane, values):
        calls.append(lane.number)
        if len(calls) == 5: raise OSError('the cable was pulled')
        advance(lane, values)
    for name, way in (('whole', advance), ('broken', sometimes)):
        monkeypatch.setattr(evaluation.Lane, 'advance', way)
        folder = new_folder(tmp_path / name)
        train(with_values(short, {'run.steps': 8, 'run.eval_interval': 8}), folder, say=said.append)
        tables.append(folder.evaluations.read_bytes())
    fault = json.loads(folder.faults.read_text())
    assert tables[0] == tables[1] and ['played again' in sentence for sentence in said].count(True) == 1
    assert (fault['during'], fault['kind'], fault['step'], fault['episode']) == ('evaluation', 'raised', 8, calls[4])


# learning that fails

class BreakLearning(Callback):
    "From one update on, gives a loss that is no number, or only breaks the weights."
    def __init__(self, at, loud): self.at, self.loud = at, loud

    def start(self, runner):
        update = runner.agent.update
        def broken(batch):
            result = update(batch)
            if runner.agent.updates < self.at: return result
            for variable in runner.agent.online.weights: variable.assign(variable * math.nan)
            runner.agent.follow()
            if self.loud: return result._replace(loss=math.nan)
            return result._replace(loss=1.0, q_mean=0.0, td_error=np.ones_like(result.td_error))
        runner.agent.update = broken

def failed(short, folder, *callbacks):
    "What a training says that fails, and the steps of its checkpoints."
    config = with_values(short, {'agent.learning_starts': 64, 'run.checkpoint_interval': 100})
    with pytest.raises(TrainingError, match='Training stopped after step') as error: train(config, folder, callbacks=callbacks, say=quiet)
    with folder.lock: return str(error.value), sorted(int(path.name[5:]) for path in folder.checkpoints.glob('step_*'))

def test_a_loss_that_is_no_number_ends_the_run_which_goes_on_from_before(short, tmp_path):
    folder = new_folder(tmp_path / 'run')
    text, steps = failed(short, folder, BreakLearning(34, True))
    assert steps == [200, 300] and 'the loss of update 34 is nan' in text
    assert 'The checkpoint of step 300 is from before' in text and 'agent.learning_rate' in text
    assert stage(folder) == 'training' and not folder.machine.exists() and folder.metrics.read_text().count('\n') == 4
    for which in ('best', 'last'): load_agent(folder.path, which)              # of step 200; loading refuses what is not finite
    assert go_on(folder, say=quiet)[1] == 'finished'                           # without the fault

def test_weights_that_break_without_a_sign_in_the_loss_reach_no_file(short, tmp_path):
    text, steps = failed(short, new_folder(tmp_path / 'run'), BreakLearning(20, False))
    assert steps == [100, 200] and 'hold numbers that are not finite' in text
