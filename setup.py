"""Builds the package from settings.ini; the trained agents, one for a level, are installed inside the package."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

root = Path(__file__).parent
settings = ConfigParser(delimiters=['='])
settings.read(root / 'settings.ini', encoding='utf-8')
config = settings['DEFAULT']
readme = root / 'README.md'

setup(
    name=config['lib_name'],
    version=config['version'],
    description=config['description'],
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else '',
    long_description_content_type='text/markdown',
    keywords=config['keywords'].split(),
    license='MIT',
    author=config['author'],
    author_email=config['author_email'],
    url=config['git_url'],
    python_requires=f'>={config["min_python"]}',
    packages=['mario_dqn', 'mario_dqn.run', 'mario_dqn.show', 'mario_dqn.shipped'],
    package_dir={'mario_dqn': 'mario_dqn', 'mario_dqn.shipped': 'save'},
    package_data={'mario_dqn': ['baselines.json'], 'mario_dqn.show': ['player.js', 'player.css', 'card.md'], 'mario_dqn.shipped': [f'[1-8]-[1-4]/*.{kind}' for kind in ('toml', 'npz', 'json', 'csv', 'png', 'md')]},
    install_requires=config['requirements'].split(),
    extras_require={name: config[f'{name}_requirements'].split() for name in ('dev', 'cuda', 'jax', 'cluster')},
    entry_points={'console_scripts': config['console_scripts'].split()},
)
