"""The Q-network: its size, its seed, own layers, and the choice of a precision."""
import numpy as np
import pytest

from mario_dqn.settings import AgentConfig
from mario_dqn.network import faster_precision, graphics_name, keras, layer_policy, outputs_with, processor_flags, q_network, training_layers

PLAIN = AgentConfig(value_bins=0, precision='float32')
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 84, 84, 4), np.uint8)


def test_the_seed_decides_the_weights():
    model, same, other = (q_network((4, 84, 84), 5, AgentConfig(), seed=seed) for seed in (1, 1, 2))
    assert model.get_layer('features').output.shape == (None, 1024)                       # a third stride of 2: 4 × 4 × 64
    for a, b, c in zip(model.get_weights(), same.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or (a != c).any()
    assert [v.path for v in model.weights] == [v.path for v in same.weights]
    assert model.predict_on_batch(PIXELS).shape == (3, 5)

def test_a_network_of_plain_numbers_has_one_stream():
    plain = q_network((4, 84, 84), 7, AgentConfig(dueling=False, value_bins=0))
    assert plain.output_shape == (None, 7) and not any('value' in layer.name for layer in plain.layers)

def test_a_transposed_convolution_is_the_gradient_of_a_convolution():
    rng = np.random.default_rng(0)
    x, kernel, y = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 16, 16, 3), (4, 4, 3, 5), (2, 7, 7, 5)))
    there, back = (keras.ops.convert_to_numpy(array) for array in (keras.ops.conv(x, kernel, strides=2), keras.ops.conv_transpose(y, kernel, strides=2)))
    assert back.shape == x.shape and there.shape == y.shape and abs((there * y).sum()) > 1
    np.testing.assert_allclose((there * y).sum(), (x * back).sum(), rtol=1e-3)            # <conv(x), y> = <x, back(y)>

@pytest.mark.parametrize('text, flags', [('processor\t: 0\nflags\t\t: fpu avx512_bf16\nflags\t\t: fpu\n', {'fpu', 'avx512_bf16'}), ('Features\t: fp bf16\n', {'fp', 'bf16'}),
                                         ('processor : 0\n', None), (None, None)], ids=['x86', 'arm', 'none', 'no-file'])
def test_the_flags_of_a_processor_are_read_as_the_kernel_writes_them(tmp_path, text, flags):
    if text is not None: (tmp_path / 'cpuinfo').write_text(text)
    assert processor_flags(tmp_path / 'cpuinfo') == flags

@pytest.mark.skipif(keras.backend.backend() == 'jax' or bool(graphics_name(keras.backend.backend())), reason='only processors are measured')
@pytest.mark.parametrize('seconds, precision', [(0.7, 'bfloat16'), (0.8, 'float32')])
def test_without_flags_the_time_decides(seconds, precision):
    assert faster_precision(lambda: None, dict(float32=1.0, bfloat16=seconds).get) == precision


def shifted(frames, actions, config, seed):
    "Layers that do not begin with the pixels."
    x = keras.layers.Rescaling(1.0, -0.5, dtype=layer_policy(frames))(frames)
    x = keras.layers.LayerNormalization(dtype=layer_policy(frames))(x)
    return keras.layers.Dense(actions, dtype='float32')(keras.layers.Flatten(dtype='float32')(x))

def dropping(frames, actions, config, seed): return keras.layers.Dropout(0.5)(shifted(frames, actions, config, seed))

def test_layers_of_ones_own_learn_from_what_they_act_on():
    own, learning = q_network((4, 84, 84), 5, PLAIN, layers=shifted), training_layers((4, 84, 84), 5, PLAIN, shifted)
    learned = keras.ops.convert_to_numpy(outputs_with(learning, own, np.float32(PIXELS)))
    np.testing.assert_allclose(learned, own.predict_on_batch(PIXELS), atol=1e-4)

def test_layers_that_keep_a_random_state_are_refused():
    with pytest.raises(ValueError, match='random state'): training_layers((4, 84, 84), 5, PLAIN, dropping)
