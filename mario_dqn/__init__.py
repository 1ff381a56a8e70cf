"""Deep Q-Learning on Super Mario Bros.; the names that people start with, each imported when it is asked for."""
__version__ = "0.1.0"

_PLACES = {'Config': 'settings', 'make_env': 'env', 'evaluate': 'evaluation', 'load_agent': 'run.checkpoint', 'train': 'run.train', 'Player': 'show.player'}
__all__ = [*_PLACES]


def __getattr__(name):
    if name not in _PLACES: raise AttributeError(f'module {__name__!r} has no attribute {name!r}; it offers {", ".join(_PLACES)}')
    from importlib import import_module
    return getattr(import_module(f'.{_PLACES[name]}', __name__), name)


def __dir__(): return [*globals(), *_PLACES]
