"""Measures the DQN of Stable-Baselines3 against ours: at the same work, and as each is recommended, after the same half hour.

Usage: python experiments/compare_sb3.py PYTHON [--pairs N] [--seconds S]
       python experiments/compare_sb3.py PYTHON --half_hour SEED … [--sides theirs briefly] [--minutes M] [--steps N]

PYTHON is the interpreter of a virtual environment made for this, apart from the one of the project; the script itself is run by the
latter. Nothing of the project needs it, and no test runs it. To make it:

1. Make a virtual environment with Python 3.13.
2. Install torch in it (a CPU build is far smaller), stable-baselines3, opencv-python-headless, pydantic and tyro, and a version of
   gymnasium that stable-baselines3 allows.
3. Install nes-py, gym-super-mario-bros and fastcore in the versions of constraints.txt, with `--no-deps`. nes-py also needs tqdm and a
   pyglet older than 2.

What is the same on both sides: the game with its whole stack of wrappers, eight games, the network and its number of weights, plain
DQN in float32 (no dueling, no double, no bins, no normalisation, one step, uniform sampling), batches of 32, 8 samples for each agent
step, the size of the replay memory, epsilon, Adam with a constant step size, a target network that is copied every 10 updates, two
cores. What differs is what each makes of it: there a process for each game, and PyTorch with as many threads as cores; here one
process with two threads for all games, and Keras with one thread. The sides take turns, each in a fresh process, and the medians are
compared. Nothing else should run meanwhile.

With --half_hour their DQN trains for 30 minutes, alone on the same two cores, with the settings that rl-zoo3 has for Atari
(hyperparams/dqn.yml of DLR-RM/rl-baselines3-zoo at 22e3ff2, of April 2026), its clipped rewards and Nature network included. Of Atari's
wrappers only those remain that our game has, too: frame skip, size, stack and actions are ours. Eight games in processes of their own
take one step each where rl-zoo3 has one game that takes eight, so two updates follow in the place of one every four steps. `briefly` are
their settings with the two times that were made for ten million steps shortened in proportion to ours: learning begins after 4,000 steps,
and exploration has decayed after 30,000. They play 40 selection games every 50,000 steps, which takes of their time, keep the best
weights, and play 100 other games with sticky actions at the end. Each row goes to experiments/side_by_side.json as it comes. What ours
does with its defaults, with the same seeds, the same selection and the same 100 games, is the last row of each seed in
experiments/half_hour.json. With --steps a training ends after so many steps, whatever time they take, and its row has no minutes: a
machine that is slower, or busy, repeats with it what another did in half an hour.
"""
import argparse, copy, json, os, statistics, subprocess, sys, time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GAMES, BATCH, SAMPLES, CAPACITY, STARTS, EPSILON, CORES = 8, 32, 8, 20_000, 1_600, 0.05, 2
UPDATES = GAMES * SAMPLES // BATCH  # in each step of all games
WARM = 100 # steps of all games with learning before the clock starts


def config():
    "Our configuration for the comparison."
    from mario_dqn.settings import Config, with_values
    return with_values(Config(), {
        'env.actions': 'right_only', 'agent.precision': 'float32', 'agent.value_bins': 0, 'agent.layer_norm': False, 'agent.target_acts': False, 'agent.average_updates': 0,
        'agent.dueling': False, 'agent.double': False, 'agent.n_step': 1, 'agent.priority_exponent': 0.0, 'agent.importance_exponent': 0.0,
        'agent.target_mix': 1.0, 'agent.learning_rate_half': 0, 'agent.batch_size': BATCH, 'agent.samples_per_step': float(SAMPLES), 'agent.replay_capacity': CAPACITY,
        'agent.learning_starts': STARTS, 'agent.epsilon_start': EPSILON, 'agent.epsilon_end': EPSILON, 'agent.epsilon_power': 1.0,
        'run.games': GAMES, 'run.threads': CORES - 1, 'run.game_threads': CORES, 'run.middle_starts': 0.0})


class Clock:
    "Counts the steps of all games; starts after the warm-up, and stops after some seconds."
    def __init__(self, seconds): self.seconds, self.steps, self.begun = seconds, -WARM, None

    def tick(self):
        "One step of all games is done; returns whether to go on."
        self.steps += 1
        if self.steps == 0: self.begun = time.perf_counter()
        if self.steps > 0: self.took = time.perf_counter() - self.begun
        return self.steps <= 0 or self.took < self.seconds

    def result(self, weights, updates, steps): # number of weights; updates and steps of all games since learning began
        return dict(rate=GAMES * self.steps / self.took, weights=weights, updates=round(updates / steps, 1))


def ours(seconds):
    "Measure our loop."
    settings = config()
    from mario_dqn.run.files import set_threads
    set_threads(settings.run.threads)
    from mario_dqn.run.train import build_runner
    runner, clock = build_runner(settings), Clock(seconds)
    runner.begin()
    while runner.agent.updates == 0: runner.one_step()
    before, more = runner.agent.updates, True
    while more:
        runner.one_step()
        more = clock.tick()
    runner.games.close()
    return clock.result(runner.agent.online.count_params(), runner.agent.updates - before, clock.steps + WARM)


def theirs(seconds):
    "Measure the DQN of Stable-Baselines3."
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import SubprocVecEnv
    from mario_dqn.env import make_env

    torch.set_num_threads(CORES)
    settings = config()
    env, agent = settings.env, settings.agent

    class Convolutions(BaseFeaturesExtractor):
        "The convolutions of our network."
        def __init__(self, space):
            layers, channels = [], space.shape[0]
            for filters, kernel, stride in zip(agent.filters, agent.kernels, agent.strides):
                layers += [torch.nn.Conv2d(channels, filters, kernel, stride), torch.nn.ReLU()]
                channels = filters
            network = torch.nn.Sequential(*layers, torch.nn.Flatten())
            super().__init__(space, network(torch.zeros(1, *space.shape)).shape[1])
            self.network = network

        def forward(self, observations): return self.network(observations)

    class Ticks(BaseCallback):
        "Ticks once for every step of all games in which the agent learns."
        def _on_step(self):
            if self.model._n_updates == 0: return True
            if clock.steps == -WARM: self.before = self.model._n_updates
            return clock.tick()

    games = SubprocVecEnv([partial(make_env, env)] * GAMES)
    clock, ticks = Clock(seconds), Ticks()
    model = DQN('CnnPolicy', games, learning_rate=agent.learning_rate, buffer_size=CAPACITY, learning_starts=STARTS, batch_size=BATCH,
                gamma=agent.discount, train_freq=1, gradient_steps=UPDATES, target_update_interval=agent.target_period * GAMES // UPDATES,
                exploration_initial_eps=EPSILON, exploration_final_eps=EPSILON, max_grad_norm=agent.gradient_norm, device='cpu', seed=0,
                policy_kwargs=dict(features_extractor_class=Convolutions, net_arch=[agent.hidden], optimizer_kwargs=dict(eps=agent.adam_epsilon)))
    model.learn(10**9, callback=ticks, log_interval=None)
    games.close()
    return clock.result(sum(p.numel() for p in model.q_net.parameters()), model._n_updates - ticks.before, clock.steps + WARM)


TABLE = ROOT / 'experiments/side_by_side.json'

class Selected:
    "The best weights of selection games, the same games and the same order as in a training of ours."
    def __init__(self, seed): self.seed, self.rank, self.weights, self.told = seed, (), None, []

    def play(self, step, values, weights): # `values`: a function of observations; `weights`: one that copies the present ones
        from mario_dqn.env import SELECTION
        from mario_dqn.evaluation import Condition, evaluate # and not `select`, whose module imports Keras
        run = self.config().run
        condition = Condition('selection', 'selection during training', run.eval_episodes, self.seed, sticky=run.eval_sticky)
        numbers, _ = evaluate(values, self.config().env, condition, games=GAMES, threads=CORES, purpose=SELECTION)
        self.told.append(dict(step=step, clear_rate=numbers['clear_rate'], x_mean=round(numbers['x_mean'], 1)))
        rank = numbers['clear_rate'], numbers['x_mean']
        if rank > self.rank: self.rank, self.weights = rank, weights()

    @staticmethod
    def config():
        from mario_dqn.settings import Config
        return Config()


def judged(values, steps, updates, minutes, told):
    "The row of a side: 100 games with sticky actions on seeds that nothing has used."
    from mario_dqn.evaluation import evaluate, protocol
    numbers, _ = evaluate(values, Selected.config().env, protocol()[0])
    kept = {key: numbers[key] for key in ('episodes', 'cleared', 'clear_low', 'clear_high')} | {key: round(numbers[key], 1) for key in ('x_mean', 'score_mean')}
    return dict(minutes=minutes, steps=steps, updates=updates, **kept, selection=told)


def train_theirs(seed, seconds, most_steps, briefly=False):
    "The DQN of Stable-Baselines3 with the settings of rl-zoo3 for Atari, for so long, or for so many steps if they are given."
    import gymnasium, numpy, torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import SubprocVecEnv
    from mario_dqn.env import make_env
    torch.set_num_threads(CORES)
    begun, config, selected = time.perf_counter(), Selected.config(), Selected(seed)
    def clipped(): return gymnasium.wrappers.TransformReward(make_env(config.env), lambda reward: float(numpy.sign(reward)))
    def values(observations):
        with torch.no_grad(): return model.q_net(torch.as_tensor(observations)).numpy()

    class Half(BaseCallback):
        "Plays the selection games, and ends when the time is over."
        def _on_step(self):
            every, steps = config.run.eval_interval, self.num_timesteps
            if steps // every > (steps - GAMES) // every: selected.play(steps, values, lambda: copy.deepcopy(self.model.q_net.state_dict()))
            return steps < most_steps if most_steps else time.perf_counter() - begun < seconds

    games = SubprocVecEnv([clipped] * GAMES)
    games.seed(seed)
    starts, explored = (4_000, 30_000 / 10_000_000) if briefly else (100_000, 0.1)
    model = DQN('CnnPolicy', games, learning_rate=1e-4, buffer_size=100_000, learning_starts=starts, batch_size=32, train_freq=1, gradient_steps=2,
                target_update_interval=1000, exploration_fraction=explored, exploration_final_eps=0.01, device='cpu', seed=seed)
    model.learn(10_000_000, callback=Half(), log_interval=None)
    games.close()
    minutes = None if most_steps else round((time.perf_counter() - begun) / 60, 1)
    if selected.weights: model.q_net.load_state_dict(selected.weights)
    return judged(values, model.num_timesteps, model._n_updates, minutes, selected.told)


TRAININGS = {'theirs': train_theirs, 'briefly': partial(train_theirs, briefly=True)}

def half_hours(python, seeds, sides, limits):
    "Train both with every seed; those that are in the table are not trained again."
    rows = json.loads(TABLE.read_text()) if TABLE.exists() else []
    for seed in seeds:
        for side in sides:
            if any((row['side'], row['seed']) == (side, seed) for row in rows):
                print(f'{side}, seed {seed} is in {TABLE}; without its row it is trained again.')
                continue
            row = dict(side=side, seed=seed) | in_process(python, '--side', side, '--train', str(seed), *limits)
            print({key: value for key, value in row.items() if key != 'selection'}, flush=True)
            rows = sorted([*rows, row], key=lambda row: (list(TRAININGS).index(row['side']), row['seed']))
            TABLE.write_text(json.dumps(rows, indent=1) + '\n')


def in_process(python, *words):
    "What a call of this script in a process of its own prints last."
    paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]  # a faster emulator is for both sides
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(paths), 'OMP_NUM_THREADS': str(CORES), 'MKL_NUM_THREADS': str(CORES), 'PYTHONWARNINGS': 'ignore'}
    words = [python, __file__, python, *words]
    done = subprocess.run(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode: sys.exit(f'{" ".join(words)} failed:\n{done.stdout}{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def main():
    options = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    options.add_argument('python', help='the interpreter of the environment with stable-baselines3')
    options.add_argument('--pairs', type=int, default=3, help='how often each side is measured (default 3)')
    options.add_argument('--seconds', type=float, default=20, help='how long, each time (default 20)')
    options.add_argument('--half_hour', type=int, nargs='+', metavar='SEED', help='train their DQN with these seeds')
    options.add_argument('--sides', nargs='+', choices=list(TRAININGS), default=list(TRAININGS), help='of --half_hour')
    options.add_argument('--minutes', type=float, default=30, help='of each training (default 30)')
    options.add_argument('--steps', type=int, default=0, help='of each training, in the place of minutes')
    options.add_argument('--side', choices=['ours', *TRAININGS], help=argparse.SUPPRESS)  # for the processes that this one starts
    options.add_argument('--train', type=int, help=argparse.SUPPRESS)
    args = options.parse_args()
    if args.steps < 0 or args.minutes <= 0: options.error('--steps must not be below 0, and --minutes must be above it.')
    pythons, rates = dict(ours=sys.executable, theirs=args.python), dict(ours=[], theirs=[])
    if args.side:
        if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        found = globals()[args.side](args.seconds) if args.train is None else TRAININGS[args.side](args.train, 60 * args.minutes, args.steps)
        print(json.dumps(found))
        return
    if args.half_hour: return half_hours(args.python, args.half_hour, args.sides, ('--minutes', str(args.minutes), '--steps', str(args.steps)))
    for pair in range(args.pairs):
        found = {side: in_process(pythons[side], '--side', side, '--seconds', str(args.seconds)) for side in (('ours', 'theirs') if pair % 2 == 0 else ('theirs', 'ours'))}
        same = [(found[side]['weights'], found[side]['updates']) for side in ('ours', 'theirs')]
        if same[0] != same[1]: sys.exit(f'The work is not the same: (weights, updates in a step) is {same[0]} for ours and {same[1]} for theirs.')
        for side in rates: rates[side].append(found[side]['rate'])
        print(f'pair {pair + 1}: ours {rates["ours"][-1]:.1f}, Stable-Baselines3 {rates["theirs"][-1]:.1f} agent steps/s', flush=True)
    a, b = (statistics.median(rates[side]) for side in ('ours', 'theirs'))
    print(f'median: ours {a:.1f}, Stable-Baselines3 {b:.1f} agent steps/s, ratio {a / b:.2f}')


if __name__ == '__main__': main()
