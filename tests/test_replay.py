"""The replay memory: a sum tree against plain sums, what is lost and kept at the seams of a ring, weights, and what it refuses."""
import numpy as np
import pytest

from mario_dqn.replay import Replay, SumTree


def grey(number): return np.full((2, 2), number, np.uint8)

def sampleable(replay): return np.flatnonzero(replay.tree.values(np.arange(len(replay.step)))).tolist()

@pytest.fixture
def lane():
    "One lane of twelve slots with an episode of seven frames, and an open one of seven more."
    lane = Replay(12, 1, (2, 2), 2, 2, 0.5, 1.0)
    lane.begin(0, grey(0))
    for i in range(1, 7): lane.add(0, i, 1.0, grey(i), False, i == 6)
    lane.begin(0, grey(10))
    for i in range(11, 17): lane.add(0, i, 1.0, grey(i), False, False)
    return lane

def test_an_open_episode_is_cut_as_if_truncated(lane):
    lane.begin(0, grey(20))
    assert sampleable(lane) == [0, 4, 5, 7, 8, 9, 10, 11]                                 # slot 0 completed, slot 3 lost
    _, _, reward, following, discount = lane.gather(np.array([11, 0]))
    np.testing.assert_array_equal(reward, np.float32([1.5, 1]))
    np.testing.assert_array_equal(discount, np.float32([0.25, 0.5]))
    np.testing.assert_array_equal(following[..., 0, 0], [[15, 16], [15, 16]])

@pytest.mark.parametrize('call, words', [
    (lambda lane: (lane.add(0, 0, 0.0, grey(21), True, False), lane.add(0, 0, 0.0, grey(22), False, False)), 'no open episode'),
    (lambda lane: lane.begin(1, grey(0)), 'There is no game 1'), (lambda lane: lane.begin(-1, grey(0)), 'There is no game -1'),
    (lambda lane: lane.begin(0, np.zeros((2, 2))), r'must be uint8 \(2, 2\)'), (lambda lane: lane.begin(0, np.zeros(2, np.uint8)), r'must be uint8 \(2, 2\)'),
    (lambda lane: lane.add(0, 0, np.nan, grey(0), False, False), 'finite'), (lambda lane: Replay(48, 8, (2, 2), 4, 3, 0.9, 0.6), 'needs at least 7'),
], ids=['after-the-end', 'game-1', 'game-minus-1', 'floats', 'shape', 'nan', 'small'])
def test_what_cannot_be_stored_is_refused(lane, call, words):
    with pytest.raises(ValueError, match=words): call(lane)

def test_a_lane_of_seven_slots_is_enough(): Replay(56, 8, (2, 2), 4, 3, 0.9, 0.6)


@pytest.mark.parametrize('size', [1, 2, 3, 5, 8, 1000])
def test_the_sum_tree_finds_what_a_sum_over_all_leaves_finds(size):
    rng, tree, plain = np.random.default_rng(0), SumTree(size), np.zeros(size)
    for _ in range(50):
        indices = rng.integers(size, size=rng.integers(0, 9))
        values = rng.integers(0, 4, len(indices)) * 0.25                                  # exact in binary, and often 0
        tree.set(indices, values)
        for i, v in zip(indices, values): plain[i] = v
        assert tree.total == plain.sum()
        np.testing.assert_array_equal(tree.values(np.arange(size)), plain)
        if not plain.sum(): continue
        targets = rng.integers(0, 16 * plain.sum(), 30) / 16
        np.testing.assert_array_equal(tree.find(targets), np.searchsorted(plain.cumsum(), targets, side='right'))

def test_rounding_never_leads_to_an_empty_leaf():
    rng, tree = np.random.default_rng(0), SumTree(1000)
    tree.set(np.arange(500), rng.random(500) * 10.0 ** rng.integers(-12, 12, 500))
    assert tree.find(np.array([0.0, tree.total, np.nextafter(tree.total, np.inf), 2 * tree.total])).max() <= 499

@pytest.mark.parametrize('value', [-1.0, np.nan, np.inf])
def test_a_priority_is_a_finite_number_of_at_least_0(value):
    with pytest.raises(ValueError, match='finite'): SumTree(4).set(np.array([0]), np.array([value]))


def filled(exponent, steps=6, game=1, ends=True):
    "A memory of two lane of ten slots with one episode, whose rewards are 1, 2, …"
    replay = Replay(20, 2, (2, 2), 4, 3, 0.5, exponent)
    replay.begin(game, grey(0))
    for i in range(1, steps + 1): replay.add(game, i, float(i), grey(i), ends and i == steps, False)
    return replay

@pytest.fixture
def small():
    replay = filled(1.0)
    replay.update_priorities(np.array([10, 12]), np.array([0.5, -7.0]))
    return replay

def test_a_weight_is_the_smallest_priority_over_its_own(small):
    batch = small.sample(6, 1.0, np.random.default_rng(0))
    p = small.tree.values(batch.index)
    np.testing.assert_array_equal(batch.weight, (p.min() / p).astype(np.float32))

def test_half_of_the_bias_corrected_is_the_root_of_the_weight():
    sixteen = filled(1.0)
    sixteen.update_priorities(np.arange(10, 16), np.array([4, 4, 4, 4, 4, 16.0]) - 1e-6)
    drawn = sixteen.sample(6, 0.5, np.random.default_rng(0))
    assert 15 in drawn.index and set(drawn.index) != {15}
    np.testing.assert_allclose(drawn.weight, [0.5 if slot == 15 else 1 for slot in drawn.index], rtol=1e-6)       # 16 counts 4 ** 0.5 / 16 ** 0.5

def test_returns_of_three_steps_by_hand(small):
    _, _, reward, _, discount = small.gather(np.arange(10, 16))
    np.testing.assert_array_equal(reward, np.float32([2.75, 4.5, 6.25, 8, 8, 6]))
    np.testing.assert_array_equal(discount, np.float32([0.125, 0.125, 0.125, 0, 0, 0]))

def test_the_generator_alone_decides_what_is_drawn(small):
    one, two = (small.sample(6, 1.0, np.random.default_rng(1)).index for _ in range(2))
    np.testing.assert_array_equal(one, two)

@pytest.mark.parametrize('size', [0, 7])
def test_a_batch_is_not_larger_than_the_memory(small, size):
    with pytest.raises(ValueError, match=f'of {size} transitions'): small.sample(size, 1.0, np.random.default_rng(0))

def test_priorities_of_slots_that_are_gone_change_nothing(small):
    with pytest.raises(ValueError, match='finite'): small.update_priorities(np.array([10]), np.array([np.nan]))
    small.update_priorities(np.array([0, 19]), np.array([1e9, 1e9]))
    assert small.largest[0] == 7.000001 and len(small) == 6

def test_with_an_exponent_of_0_every_priority_stays_1():
    uniform = filled(0.0, steps=7, game=0, ends=False)
    uniform.update_priorities(np.arange(5), np.array([0, 1, 10, 100, 1e6]))
    np.testing.assert_array_equal(uniform.tree.values(np.arange(10)), [1] * 5 + [0] * 5)
    np.testing.assert_array_equal(uniform.sample(5, 0.4, np.random.default_rng(0)).weight, np.ones(5, np.float32), strict=True)
