"""The player, live games and the tutorials in JupyterLab, in a real browser."""
import contextlib, json, os, shutil, socket, subprocess, sys, time, urllib.request

import nbformat
import numpy as np
import pytest

from house import ROOT

TUTORIALS = ROOT / 'nbs' / 'tutorials'
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

pytestmark = [pytest.mark.xdist_group('browser'), pytest.mark.skipif(CHROMIUM is None, reason='Chromium is not installed')]


@pytest.fixture(scope='session')
def browser_type_launch_args():
    return dict(executable_path=CHROMIUM, args=FLAGS)

@pytest.fixture(scope='session')
def browser_context_args():
    return dict(viewport=dict(width=1280, height=1150))


# JupyterLab

def settings(home): # a folder
    "JupyterLab without news, and with every cell in the page, also those out of sight."
    for plugin, values in (('apputils-extension/notification', {'fetchNews': 'false', 'checkForUpdates': False}),
                           ('notebook-extension/tracker', {'windowingMode': 'none'})):
        path = home / 'settings/@jupyterlab' / f'{plugin}.jupyterlab-settings'
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))

@pytest.fixture(scope='module')
def jupyter(tmp_path_factory):
    "JupyterLab in a process of its own, for this file; its folder and its address."
    folder = tmp_path_factory.mktemp('lab')
    home = folder / 'home'
    settings(home)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    places = dict.fromkeys(('HOME', 'JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'IPYTHONDIR'), str(home))
    env = os.environ | places | {'IN_TEST': '1', 'PYTHONPATH': str(ROOT), 'JUPYTERLAB_SETTINGS_DIR': str(home / 'settings')}
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ip=127.0.0.1', f'--port={port}', f'--ServerApp.root_dir={folder}',
               '--IdentityProvider.token=open', '--LabApp.expose_app_in_browser=True', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
               '--LabApp.extension_manager=readonly']
    with open(folder / 'jupyter.log', 'w') as log, subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT) as server:
        try:
            for _ in range(240):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f'http://127.0.0.1:{port}/api?token=open').close()
                    break
                assert server.poll() is None, (folder / 'jupyter.log').read_text()
                time.sleep(0.5)
            yield folder, f'http://127.0.0.1:{port}'
        finally: server.terminate()


class Lab:
    "A notebook in JupyterLab, in a page of the browser."
    def __init__(self, page, folder, address):
        self.page, self.folder, self.address, self.complaints = page, folder, address, []
        page.on('pageerror', lambda e: self.complaints.append(f'error in the page: {e}'))
        page.on('console', lambda m: self.complaints.append(f'error in the console: {m.text}') if m.type == 'error' and 'mario' in m.text.lower() else None)

    def open(self, name, book, kernel=True): # a notebook; whether to wait until the kernel is there
        nbformat.write(book, self.folder / name)
        self.page.goto(f'{self.address}/lab/workspaces/{name.split('.')[0]}/tree/{name}?token=open')
        self.page.wait_for_selector('.jp-Notebook .jp-CodeCell', timeout=120_000)
        if kernel: self.page.wait_for_function("!!window.jupyterapp && document.body.innerText.includes('| Idle')", timeout=120_000)
        if kernel and self.page.locator('#jp-left-stack:visible').count(): self.command('application:toggle-left-area')

    def command(self, name, **args):
        return self.page.evaluate('([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)', [name, args])

    def run_all(self, wait=True):
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        if wait: self.wait_for_all()

    def wait_for_all(self):
        "Wait until every code cell has run."
        self.page.wait_for_function("""[...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].every(cell => !cell.querySelector('.jp-InputArea-editor').textContent.trim()
            || /\\[\\d+\\]/.test(cell.querySelector('.jp-InputPrompt').textContent))""", timeout=300_000)
        self.look_for_errors()

    def cell(self, begin): # how its source begins
        "The code cell, as a locator."
        cells = self.page.locator('.jp-Notebook .jp-CodeCell')
        number = [text.strip().startswith(begin) for text in cells.locator('.jp-InputArea-editor').all_inner_texts()].index(True)
        return cells.nth(number)

    def run(self, number): # of the cell
        self.page.locator('.jp-Notebook .jp-CodeCell').nth(number).locator('.jp-InputPrompt').click()
        self.command('notebook:run-cell')
        self.page.wait_for_function(f"""/\\[\\d+\\]/.test(document.querySelectorAll('.jp-Notebook .jp-CodeCell')[{number}].querySelector('.jp-InputPrompt').textContent)""", timeout=180_000)
        self.look_for_errors()

    def look_for_errors(self):
        kinds = ('.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]', '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]')
        assert self.page.locator(', '.join(kinds)).all_inner_texts() == []

    def player(self, number=0, kind='.mario-player'): # which one of the page
        root = self.page.locator(kind).nth(number)
        root.wait_for(timeout=60_000)
        root.scroll_into_view_if_needed()
        return root


@pytest.fixture(scope='module')
def new_lab(browser, browser_context_args, jupyter):
    "Makes a `Lab` in a page of its own."
    with contextlib.ExitStack() as contexts:
        def make(): return Lab(contexts.enter_context(browser.new_context(**browser_context_args)).new_page(), *jupyter)
        yield make

@pytest.fixture(autouse=True)
def _look(request):
    "What a page complains of fails the test; MARIO_DQN_PICTURES names a folder for pictures of the screen."
    yield
    lab = next((value for value in request.node.funcargs.values() if isinstance(value, Lab)), None)
    if lab is None: return
    if folder := os.environ.get('MARIO_DQN_PICTURES'): lab.page.screenshot(path=f'{folder}/{request.node.name}.png')
    assert lab.complaints == []

@pytest.fixture
def lab(new_lab): return new_lab()


def notebook(*cells): # sources of code cells
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    book.metadata.kernelspec = dict(name='python3', display_name='python3', language='python')
    return book


# the player

SETUP = '''
import numpy as np
from copy import replace
from mario_dqn.run.checkpoint import load_agent
from mario_dqn.run.files import shipped_agent
from mario_dqn.evaluation import load_episode
from mario_dqn.show.film import FilmRecorder
from mario_dqn.show.saliency import saliency
from mario_dqn.show.player import Player, compare, pictures_of, play_human, record, watch
folder = shipped_agent()
agent, config = load_agent(folder)'''

PLAYER = 'player = Player(load_episode(folder.greedy), config.env, agent)\nplayer'

FACTS = '''
recording, episode = player.recording, player.recording.episode
chosen = [0, 19, 20, 400, recording.film.length - 1]
pictures = [picture.copy() for picture in pictures_of(recording)]
np.savez('kernel.npz', numbers=chosen, pictures=[pictures[i] for i in chosen], q=episode.q_values, actions=episode.actions,
         frames=recording.frames, tape=list(episode.tape))'''

MAPS = '''
np.savez('maps.npz', **{m: saliency(m, agent, recording.observation(60), int(episode.actions[60])) for m in ('gradient', 'occlusion')}, decision=player.decision)'''

WATCH = 'game = watch(agent, env_config=config.env, seed=1, sticky=0.0)\ngame'
HUMAN = "game = play_human('1-1', agent, config.env)\ngame"
PAIR = '''
other = agent.__class__(agent.config, agent.observation_shape, agent.action_count)   # untrained
pair = compare(agent, other, config.env, seed=1, sticky=0.0, titles=('Best', 'Other'))
pair'''

# Each picture carries its number, as eleven black or white squares.
NUMBERED = '''
recorder = FilmRecorder()
for number in range(1601):
    bits = number >> np.arange(11) & 1
    row = np.kron(255 * bits, np.ones((16, 16))).astype(np.uint8)
    picture = np.full((240, 256, 3), number % 200, np.uint8)
    picture[64:80, 16:16 + row.shape[1]] = row[..., None]
    recorder.add(picture)
long = record(None, replace(config.env, stuck_limit=0, sticky=0.0), limit=1)
ones = np.ones(400)
tape = bytes(1600)
long = replace(long, film=recorder.film(), frames=np.zeros((401, 68, 68), np.uint8), rewards=ones, positions=np.arange(401), times=np.arange(401),
               episode=replace(long.episode, actions=ones.astype(int), positions=np.arange(400), tape=tape, noops=0))
Player._ipython_display_ = lambda self: __import__('mario_dqn.show.player').show.player.show_widget(self, 'numbers')
numbers = Player(long)
numbers'''

READ_NUMBER = '''() => {
  const video = document.querySelectorAll('.mario-player video')[1], canvas = new OffscreenCanvas(512, 480), context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  const gray = k => context.getImageData(2 * (16 + 16 * k + 8), 2 * 72, 1, 1).data[1];
  return [...Array(11).keys()].reduce((sum, k) => sum + (gray(k) > 128) * 2 ** k, 0);
}'''

PIXELS = '''element => {
  const {width, height} = element, canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d');
  context.imageSmoothingEnabled = false;
  context.drawImage(element, 0, 0, width, height);
  return [width, height, Array.from(context.getImageData(0, 0, width, height).data)];
}'''

def pixels(element): # a locator of a canvas or a video
    "What it shows, uint8 [H, W, 4]."
    width, height, data = element.evaluate(PIXELS)
    return np.array(data, np.uint8).reshape(height, width, 4)


@pytest.fixture(scope='module')
def players(new_lab):
    "A notebook with two players: the greedy game of the agent that ships, and a film whose pictures carry their numbers."
    lab = new_lab()
    lab.open('players.ipynb', notebook(SETUP, PLAYER, FACTS, NUMBERED, MAPS))
    for number in range(4): lab.run(number)
    return lab

@pytest.fixture(scope='module')
def live(new_lab):
    "A notebook with live games, none of which has begun."
    lab = new_lab()
    lab.open('live.ipynb', notebook(SETUP, WATCH, HUMAN, PAIR))
    lab.run(0)
    return lab


class Controls:
    "A player of the page, handled as a person would."
    def __init__(self, lab, number=0):
        self.page, self.number, self.root = lab.page, number, lab.player(number)
        self.slider = self.root.locator('input[type=range]')
        self.page.wait_for_function(f"document.querySelectorAll('.mario-player')[{number}].dataset.frame !== undefined")

    def wait_for(self, picture):
        "Until this picture is in view."
        self.page.wait_for_function(f"document.querySelectorAll('.mario-player')[{self.number}].dataset.frame === '{picture}'", timeout=20_000)

    def slide(self, picture):
        self.slider.evaluate('(s, f) => { s.value = f; s.dispatchEvent(new Event("input")); }', picture)
        self.wait_for(picture)

    def press(self, title): self.root.locator(f'button[title="{title}"]').click()
    def at(self): return int(self.root.get_attribute('data-frame')), int(self.root.get_attribute('data-decision'))


@pytest.mark.alone
def test_a_step_and_a_jump_land_on_the_picture_of_their_decision_within_100_ms(players):
    player, page = Controls(players, 1), players.page
    rng = np.random.default_rng(0)
    for _ in range(6):
        player.slide(int(rng.integers(1601)))
        for title in ('one decision forth', 'one decision forth', 'one decision back'):
            player.press(title)
            decision = player.at()[1]
            player.wait_for(4 * decision)
            assert page.evaluate(READ_NUMBER) == 4 * decision
    jump = '''async numbers => {
      const root = document.querySelectorAll('.mario-player')[1], slider = root.querySelector('input[type=range]'), video = root.querySelector('video');
      const times = [];
      for (const number of numbers) {
        const begun = performance.now();
        slider.value = number; slider.dispatchEvent(new Event('input'));
        while (root.dataset.frame !== String(number)) await new Promise(requestAnimationFrame);
        times.push(performance.now() - begun);
        const seen = (%s)();
        if (seen !== number) throw new Error(`picture ${seen} is shown, not ${number}`);
      }
      return times;
    }''' % READ_NUMBER
    numbers = rng.permutation(1601)[:60].tolist()
    tries = np.array([page.evaluate(jump, numbers) for _ in range(3)])                  # each jump thrice, since the machine may be busy
    times = tries.min(axis=0)
    print(f'60 jumps: {np.median(times):.0f} ms in the middle, {max(times):.0f} ms at most')
    assert np.median(tries) < 100 and sorted(times)[-3] < 100                          # one or two may be interrupted each time


@pytest.mark.alone
def test_it_plays_at_the_speed_of_the_game(players):
    player, page, tries = Controls(players, 1), players.page, []
    measure = '''() => new Promise(done => {
      const root = document.querySelectorAll('.mario-player')[1], video = root.querySelector('video'), seen = [];
      const count = () => { const {totalVideoFrames, droppedVideoFrames} = video.getVideoPlaybackQuality(); return totalVideoFrames - droppedVideoFrames; };
      const look = now => { seen.push([now, Number(root.dataset.frame), count()]); seen.length < 240 ? requestAnimationFrame(look) : done(seen); };
      root.querySelector('button.play').click(); setTimeout(() => requestAnimationFrame(look), 1000); })'''
    for _ in range(3):  # the best counts, since the machine may be busy
        player.slide(0)
        seen = np.array(page.evaluate(measure))
        player.press('stop')
        page.wait_for_timeout(500)
        picture, decision = player.at()
        assert page.evaluate(READ_NUMBER) == picture and decision == min(picture // 4, 399)   # what stands beside it belongs to it
        seconds = np.ptp(seen[:, 0]) / 1000
        tries.append((np.ptp(seen[:, 2]) / seconds, np.ptp(seen[:, 1]) / seconds, len(np.unique(seen[:, 1])) / seconds))
        page.wait_for_timeout(300)
        assert player.at()[0] == picture                                                      # it stops
        if max(tries)[0] > 58: break
    shown, speed, beside = max(tries)
    print(f'{speed:.1f} pictures a second, {shown:.1f} of them shown, for {beside:.0f} of them all that stands beside the film')
    assert 58 < speed < 62 and shown > 55 and beside > 30


def test_the_player_shows_what_the_kernel_knows(players):
    player, root, page = Controls(players), players.player(), players.page
    kernel = np.load(players.folder / 'kernel.npz')
    for number in kernel['numbers']:
        player.slide(int(number))
        seen = pixels(root.locator('video'))[..., :3]
        errors = [np.abs(seen.astype(int) - other).mean() for other in kernel['pictures']]
        assert kernel['numbers'][np.argmin(errors)] == number and min(errors) < 4         # of 255
    player.slide(400)
    values = np.array(root.locator('.bar b').evaluate_all('all => all.map(b => Number(b.dataset.q))'), np.float32)
    np.testing.assert_array_equal(values, kernel['q'][100], strict=True)
    assert root.locator('.bar').nth(int(kernel['actions'][100])).evaluate('b => b.classList.contains("chosen")')
    assert int(root.locator('.pad').get_attribute('data-byte')) == kernel['tape'][400]
    frames = np.stack([pixels(root.locator('.stack canvas').nth(i))[..., 0] for i in range(4)])
    np.testing.assert_array_equal(frames, kernel['frames'][97:101], strict=True)
    for title, decision in (('one decision forth', 101), ('one decision back', 100), ('one decision back', 99)):
        player.press(title)
        player.wait_for(4 * decision)
        assert player.at() == (4 * decision, decision)
    root.focus()
    page.keyboard.press('ArrowRight')
    player.wait_for(400)
    page.keyboard.press(' ')
    page.wait_for_function("document.querySelector('.mario-player').dataset.playing === 'true' && document.querySelector('.mario-player').dataset.frame > 430")
    page.keyboard.press(' ')
    page.wait_for_function("document.querySelector('.mario-player').dataset.playing === 'false'")
    box = root.locator('.curve svg').bounding_box()
    page.mouse.click(box['x'] + box['width'] / 2, box['y'] + 20)
    page.wait_for_function(f"Math.abs(document.querySelector('.mario-player').dataset.decision - {len(kernel['q']) / 2}) < 3")
    assert not players.cell('player =').locator('.jp-RenderedImage:visible').count()           # still and film are hidden while the player is there


def test_maps_are_those_of_the_kernel(players):
    player, root, page = Controls(players), players.player(), players.page
    player.slide(240)
    for method in ('gradient', 'occlusion'):
        root.locator('select[aria-label=saliency]').select_option(method)
        page.wait_for_function(f"document.querySelector('.mario-player .screen').dataset.heat === '{method} 60'", timeout=60_000)
    alpha = pixels(root.locator('canvas.heat'))[..., 3]
    players.run(4)
    maps = np.load(players.folder / 'maps.npz')
    assert int(maps['decision']) == 60                                                      # the kernel knows where the film rests
    np.testing.assert_array_equal(alpha, 2 * np.abs(maps['occlusion'].astype(int)))
    root.locator('select[aria-label=saliency]').select_option('none')
    assert root.locator('canvas.heat').is_hidden()


def test_a_saved_notebook_shows_still_and_film_without_a_kernel(players, lab):
    players.command('docmanager:save')
    players.page.wait_for_timeout(1500)
    text = (players.folder / 'players.ipynb').read_text()
    cell = next(cell for cell in json.loads(text)['cells'] if ''.join(cell['source']).startswith('player ='))
    assert 'widget-state' not in text                                                       # no state of a widget is saved
    assert len(json.dumps(cell['outputs'])) < 410_000                                       # 300 kB, in base64
    lab.open('saved.ipynb', nbformat.reads(text, 4), kernel=False)                          # of its kernel nothing has run here
    lab.page.wait_for_selector('.jp-RenderedImage img', timeout=60_000)
    assert lab.cell('player =').locator('.jp-RenderedImage:visible').count() == 2
    lab.cell('player =').scroll_into_view_if_needed()


# live games

def excerpt(root): return int(root.get_attribute('data-pictures') or 0)

def rate(root):
    "Pictures a second, the best of up to four measurements, since the machine may be busy."
    best = 0
    for _ in range(4):
        start, count = time.perf_counter(), excerpt(root)
        root.page.wait_for_timeout(2000)
        best = max(best, (excerpt(root) - count) / (time.perf_counter() - start))
        if best >= 30: break
    return best

def rests(root):
    "Whether no more pictures come."
    root.page.wait_for_timeout(1000)
    count = excerpt(root)
    root.page.wait_for_timeout(500)
    return excerpt(root) == count


@pytest.mark.alone
def test_watch_an_agent_live(live):
    live.run(1)
    root = live.player()
    live.page.wait_for_function("document.querySelector('.mario-player').dataset.pictures > 60", timeout=60_000)
    speed = rate(root)
    print(f'{speed:.0f} pictures a second')
    assert speed >= 30
    assert pixels(root.locator('canvas.game'))[..., :3].std() > 20                          # a picture, not a black screen
    root.locator('button.stop').click()
    assert rests(root) and root.get_attribute('data-running') == 'false'


@pytest.mark.alone
def test_a_person_plays_with_the_keyboard(live):
    live.run(2)
    root, page = live.player(kind='.mario-player[role=application]'), live.page
    page.wait_for_timeout(1500)
    assert excerpt(root) < 5                                                                  # it waits until it has the keyboard
    root.locator('canvas.game').click()
    cells = page.locator('.jp-Notebook .jp-CodeCell').count()
    page.keyboard.down('ArrowRight')
    page.keyboard.down('x')
    page.wait_for_timeout(1000)
    speed = rate(root)
    print(f'{speed:.0f} pictures a second')
    assert speed >= 30 and root.get_attribute('data-byte') == '129'
    page.keyboard.up('x')
    page.keyboard.up('ArrowRight')
    assert page.locator('.jp-Notebook .jp-CodeCell').count() == cells                       # JupyterLab takes none of the keys
    page.wait_for_timeout(3500)
    assert not rests(root)                                                                  # who presses nothing is still there
    root.evaluate('r => r.blur()')
    assert rests(root)                                                                      # without the keyboard the game waits
    root.locator('button.stop').click()
    page.wait_for_timeout(1000)
    assert 'Stopped.' in root.inner_text() and 'The game waits.' not in root.inner_text()


def test_two_players_go_together(live):
    live.run(3)
    page, count = live.page, 'document.querySelectorAll(".mario-player:not(.live)")'
    page.wait_for_function(f'{count}.length === 2')
    first = page.locator('.mario-player').count() - 2
    one, two = Controls(live, first), Controls(live, first + 1)
    one.slide(200)
    two.wait_for(200)
    two.root.locator('button.play').click()
    page.wait_for_timeout(1500)
    two.press('stop')
    two.wait_for(int(two.slider.input_value()))
    one.wait_for(two.at()[0])
    assert one.at()[0] == two.at()[0] > 230
    live.command('apputils:change-theme', theme='JupyterLab Dark')
    page.wait_for_timeout(1500)


# tutorials

TRAINING = '''
import os
from mario_dqn.settings import preset, with_values
from mario_dqn.run.files import RunFolder
from mario_dqn.show.live import LiveTraining
from mario_dqn.run.train import train
folder = RunFolder(os.path.abspath('run'))
_ = train(with_values(preset('tiny'), {'run.steps': 400, 'run.eval_interval': 200, 'run.record': False, 'run.games_on': 'threads'}), folder.path, callbacks=[LiveTraining(folder, seconds=1)], say=lambda sentence: None)'''

def test_a_training_is_drawn_while_it_runs(lab):
    lab.open('train.ipynb', notebook(TRAINING))
    lab.run_all(wait=False)
    lab.page.wait_for_function("[...document.querySelectorAll('img.widget-image')].some(i => i.naturalWidth > 500)", timeout=120_000)
    assert lab.page.locator('.widget-hprogress').count() > 0
    lab.wait_for_all()
    assert lab.cell('import').locator('.jp-RenderedImage img').count() == 2                 # curves and film remain


@pytest.mark.parametrize('name, pictures', [('where_it_fails', 5), ('change_something', 1), ('ingredients', 6)])
def test_a_tutorial_shows_its_pictures(lab, name, pictures):
    lab.open(f'{name}.ipynb', nbformat.read(TUTORIALS / f'{name}.ipynb', 4), kernel=False)               # as it was saved: that it runs is another test
    lab.page.wait_for_function(f"[...document.querySelectorAll('.jp-RenderedImage img')].filter(i => i.naturalWidth > 0).length === {pictures}", timeout=60_000)
    lab.look_for_errors()
