"""Opens the player in JupyterLab in a real browser, and plays with it. Says skipped where Chromium or Playwright is missing.

Argument: a folder for pictures of the screen, if wanted."""
import contextlib, json, os, re, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

import nbformat
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

SETUP = '''
from mario_dqn.checkpoint import load_agent
from mario_dqn.config import shipped_agent
from mario_dqn.playback import compare, play_human, watch
folder = shipped_agent()
agent, config = load_agent(folder)'''
# Put into the tutorial below the cell with the player: what the kernel knows, for comparison with what the page shows.
KERNEL = '''
player = _
film, episode = player.recording.film, player.recording.episode
chosen = [0, 1, 19, 20, 400, film.length - 1]
np.savez('kernel.npz', numbers=chosen, pictures=[film.picture(i) for i in chosen], q=episode.q_values, actions=episode.actions,
         frames=player.recording.frames, tape=list(episode.tape))'''
MAPS = '''
from mario_dqn.playback import saliency
np.savez('maps.npz', **{m: saliency(m, agent, player.recording.observation(60), int(player.recording.episode.actions[60])) for m in ('gradient', 'occlusion')}, decision=player.decision)'''

WATCH = 'live = watch(agent, env_config=config.env, seed=1, sticky=0.0)\nlive'
HUMAN = "game = play_human('1-1', agent, config.env)\ngame"
PAIR = "pair = compare(agent, load_agent(folder, 'last')[0], config.env, seed=1, sticky=0.0, titles=('Best', 'Last'))\npair"
TUTORIALS, SITE = ROOT / 'nbs' / 'tutorials', ROOT / '_docs'


@contextlib.contextmanager
def jupyter(folder): # where the notebook lies
    "JupyterLab in a process of its own; yields its address."
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    home = folder / 'home'
    news = home / 'settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings'
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    tracker = home / 'settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings'
    tracker.parent.mkdir(parents=True)
    tracker.write_text('{"windowingMode": "none"}')                                 # every cell is in the page, also those out of sight
    env = os.environ | {'IN_TEST': '1', 'PYTHONPATH': str(ROOT), 'HOME': str(home), 'JUPYTER_CONFIG_DIR': str(home), 'JUPYTER_DATA_DIR': str(home), 'IPYTHONDIR': str(home),
                        'JUPYTERLAB_SETTINGS_DIR': str(home / 'settings')}
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ip=127.0.0.1', f'--port={port}', f'--ServerApp.root_dir={folder}',
               '--IdentityProvider.token=open', '--LabApp.expose_app_in_browser=True', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
               '--LabApp.extension_manager=readonly']
    with open(folder / 'jupyter.log', 'w') as log, subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT) as server:
        try:
            for _ in range(240):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f'http://127.0.0.1:{port}/api?token=open').close()
                    break
                if server.poll() is not None: raise RuntimeError('JupyterLab did not start:\n' + (folder / 'jupyter.log').read_text())
                time.sleep(0.5)
            yield f'http://127.0.0.1:{port}'
        finally: server.terminate()


def notebook(*cells): # sources of code cells
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    nb.metadata.kernelspec = dict(name='python3', display_name='python3', language='python')
    return nb


def tutorial(name, added={}): # its file; sources of cells to be put below those that begin in some way
    "A tutorial without its outputs."
    book = nbformat.read(TUTORIALS / name, 4)
    cells = []
    for cell in book.cells:
        cells.append(cell)
        if cell.cell_type == 'code': cell.outputs = []
        cells += [nbformat.v4.new_code_cell(source.strip()) for begin, source in added.items() if cell.source.startswith(begin)]
    book.cells = cells
    return book


class Lab:
    "A notebook in JupyterLab, in a page of the browser."
    def __init__(self, page, address, folder, shots):
        self.page, self.address, self.folder, self.shots, self.complaints = page, address, folder, shots, []
        page.on('pageerror', lambda e: self.complaints.append(f'error in the page: {e}'))
        page.on('console', lambda m: self.complaints.append(f'error in the console: {m.text}') if m.type == 'error' and 'mario' in m.text.lower() else None)

    def open(self, name, book): # of `notebook` or `tutorial`
        nbformat.write(book, self.folder / name)
        self.page.goto(f'{self.address}/lab/workspaces/{name.split('.')[0]}/tree/{name}?token=open')
        self.page.wait_for_selector('.jp-Notebook .jp-CodeCell', timeout=120_000)
        self.page.wait_for_function("!!window.jupyterapp && document.body.innerText.includes('| Idle')", timeout=120_000)  # the kernel is there
        self.command('application:toggle-left-area') if self.page.locator('#jp-left-stack:visible').count() else None

    def command(self, name, **args):
        return self.page.evaluate('([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)', [name, args])

    def run_all(self):
        "Begin to run all cells, and do not wait for them."
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def cell(self, begin): # how its source begins
        "The code cell, as a locator."
        cells = self.page.locator('.jp-Notebook .jp-CodeCell')
        number = [text.strip().startswith(begin) for text in cells.locator('.jp-InputArea-editor').all_inner_texts()].index(True)
        return cells.nth(number)

    def run(self, cell): # its number
        self.page.locator('.jp-Notebook .jp-CodeCell').nth(cell).locator('.jp-InputPrompt').click()
        self.command('notebook:run-cell')
        self.page.wait_for_function(f"""/\\[\\d+\\]/.test(document.querySelectorAll('.jp-Notebook .jp-CodeCell')[{cell}].querySelector('.jp-InputPrompt').textContent)""", timeout=180_000)
        self.look_for_errors(f'cell {cell}')

    def wait_for_all(self):
        "Wait until every code cell has run."
        self.page.wait_for_function("""[...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].every(cell => !cell.querySelector('.jp-InputArea-editor').textContent.trim()
            || /\\[\\d+\\]/.test(cell.querySelector('.jp-InputPrompt').textContent))""", timeout=300_000)
        self.look_for_errors('a cell')

    def look_for_errors(self, where):
        for text in self.page.locator('.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"], .jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts():
            self.complaints.append(f'{where}: {text}')

    def shot(self, name):
        if self.shots: self.page.screenshot(path=str(self.shots / f'{name}.png'))

    def expect(self, true, text):
        print(('ok      ' if true else 'FAILED  ') + text, flush=True)
        if not true: self.complaints.append(text)


PIXELS = '''canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)'''

def pixels(canvas): # a locator
    "What a canvas shows, uint8 [H, W, 3]."
    width, height = canvas.evaluate('c => [c.width, c.height]')
    return np.array(canvas.evaluate(PIXELS), np.uint8).reshape(height, width, 4)[..., :3]


def check_player(lab):
    "Play, step, slide, jump, ask for maps."
    page = lab.page
    book = tutorial('watch.ipynb', {'Player(': KERNEL})
    book.cells.append(nbformat.v4.new_code_cell(MAPS.strip()))
    lab.open('player.ipynb', book)
    last = sum(cell.cell_type == 'code' for cell in book.cells) - 1
    lab.run_all()
    lab.wait_for_all()
    root = page.locator('.mario-player').first
    root.wait_for(timeout=60_000)
    page.wait_for_function("document.querySelector('.mario-player').dataset.frame === '0'")
    root.scroll_into_view_if_needed()
    kernel = np.load(lab.folder / 'kernel.npz')
    slider, game = root.locator('input[type=range]'), root.locator('canvas.game')

    def slide(frame):
        slider.evaluate('(s, f) => { s.value = f; s.dispatchEvent(new Event("input")); }', frame)
        page.wait_for_function(f"document.querySelector('.mario-player').dataset.frame === '{frame}'")
    def bars(): return np.array(root.locator('.bar b').evaluate_all('all => all.map(b => Number(b.dataset.q))'), np.float32)
    def comes_to(decision, within=0.5):
        "Whether the player shows a decision soon; it draws with the browser's next picture, not at once."
        for _ in range(40):
            if abs(int(root.get_attribute('data-decision')) - decision) < within: return True
            page.wait_for_timeout(50)
        return False
    def frame(): return int(root.get_attribute('data-frame'))

    for number, picture in zip(kernel['numbers'], kernel['pictures']):
        slide(int(number))
        lab.expect((pixels(game) == picture).all(), f'picture {number} is that of the game, pixel by pixel')
    slide(400)
    lab.expect((bars() == kernel['q'][100]).all(), 'bars show the values of the kernel')
    lab.expect(root.locator('.bar').nth(int(kernel['actions'][100])).evaluate('b => b.classList.contains("chosen")'), 'the chosen action is marked')
    lab.expect(int(root.locator('.pad').get_attribute('data-byte')) == kernel['tape'][400], 'the pad shows the buttons of the tape')
    stack = [pixels(root.locator('.stack canvas').nth(i))[..., 0] for i in range(4)]
    lab.expect((np.stack(stack) == kernel['frames'][97:101]).all(), 'the four frames are those of the network, pixel by pixel')
    lab.shot('player-light')
    root.locator('button[title="one decision forth"]').click()
    lab.expect(comes_to(101) and frame() == 404, 'a step forth')
    for _ in range(2): root.locator('button[title="one decision back"]').click()
    lab.expect(comes_to(99) and frame() == 396, 'two steps back')
    box = root.locator('.curve svg').bounding_box()
    page.mouse.click(box['x'] + box['width'] / 2, box['y'] + 20)
    lab.expect(comes_to(len(kernel['q']) / 2, 3), 'a click into the curve jumps')

    slide(0)
    measure = '''() => new Promise(done => { const root = document.querySelector('.mario-player'), start = performance.now(), seen = [];
      const look = now => { seen.push([now - start, Number(root.dataset.frame)]); now - start < 3000 ? requestAnimationFrame(look) : done(seen); };
      root.querySelector('button.play').click(); requestAnimationFrame(look); })'''
    seen = np.array(page.evaluate(measure))
    root.locator('button[title=stop]').click()
    rate = np.polyfit(seen[:, 0], seen[:, 1], 1)[0] * 1000
    lab.expect(54 < rate < 66, f'it plays at the speed of the game ({rate:.1f} pictures a second, {len(np.unique(seen[:, 1])) / 3:.0f} of them shown)')
    stopped = frame()
    page.wait_for_timeout(300)
    lab.expect(frame() == stopped, 'it stops')
    slide(240)
    for method in ('gradient', 'occlusion'):
        root.locator('select[aria-label=saliency]').select_option(method)
        page.wait_for_function(f"document.querySelector('.mario-player .screen').dataset.heat === '{method} 60'", timeout=60_000)
        lab.shot(f'saliency-{method}')
    alpha = np.array(root.locator('canvas.heat').evaluate(PIXELS), np.uint8)
    side = round((len(alpha) / 4) ** 0.5)                                           # the maps are square
    alpha = alpha.reshape(side, side, 4)
    lab.run(last)
    maps = np.load(lab.folder / 'maps.npz')
    lab.expect(int(maps['decision']) == 60, 'the kernel knows where the film rests')
    lab.expect((alpha[..., 3] == 2 * np.abs(maps['occlusion'].astype(int))).all(), 'the map is that of the kernel')
    root.locator('select[aria-label=saliency]').select_option('none')
    lab.command('apputils:change-theme', theme='JupyterLab Dark')
    page.wait_for_timeout(1500)
    lab.shot('player-dark')
    lab.command('apputils:change-theme', theme='JupyterLab Light')
    lab.expect(not lab.cell('Player(').locator('.jp-RenderedImage:visible').count(), 'still and film are hidden while the player is there')


def check_saved(lab):
    "A saved notebook, opened again without its kernel, shows the still and the film and holds no state of widgets."
    lab.command('docmanager:save')
    lab.page.wait_for_timeout(1500)
    text = (lab.folder / 'player.ipynb').read_text()
    cell = next(cell for cell in json.loads(text)['cells'] if ''.join(cell['source']).startswith('Player('))
    lab.expect('widget-state' not in text, 'no state of a widget is saved')
    lab.expect(len(json.dumps(cell['outputs'])) < 410_000, f'the cell takes {len(json.dumps(cell["outputs"])):,} bytes, in base64')
    lab.expect(len(text) < 3_000_000, f'the notebook takes {len(text):,} bytes')
    lab.command('kernelmenu:shutdown')
    lab.page.wait_for_timeout(1000)
    lab.page.reload()
    lab.page.wait_for_selector('.jp-RenderedImage img', timeout=60_000)
    lab.expect(lab.cell('Player(').locator('.jp-RenderedImage:visible').count() == 2, 'a still and a film remain without a kernel')
    lab.cell('Player(').scroll_into_view_if_needed()
    lab.shot('saved')


def check_tutorials(lab):
    "A training is drawn while it runs, and the other tutorials show their pictures."
    page = lab.page
    lab.open('train.ipynb', tutorial('train_your_own.ipynb'))
    lab.run_all()
    page.wait_for_function("[...document.querySelectorAll('img.widget-image')].some(i => i.naturalWidth > 500)", timeout=120_000)
    lab.expect(page.locator('.widget-hprogress').count() > 0, 'the curves of a training are drawn while it runs')
    lab.shot('training')
    lab.wait_for_all()
    lab.expect(lab.cell('place = ').locator('.jp-RenderedImage img').count() == 2, 'curves and film of the training remain')
    for name, pictures in (('where_it_fails', 5), ('change_something', 1), ('ingredients', 4)):
        lab.open(f'{name}.ipynb', nbformat.read(TUTORIALS / f'{name}.ipynb', 4))     # as it was saved: that it runs is another test
        page.wait_for_function(f"[...document.querySelectorAll('.jp-RenderedImage img')].filter(i => i.naturalWidth > 0).length === {pictures}", timeout=60_000)
        lab.look_for_errors(name)
        lab.expect(True, f'{name} shows its {pictures} pictures')
        lab.shot(name)


def check_live(lab):
    "Watch an agent, play with the keyboard, compare two agents."
    page = lab.page
    lab.open('live.ipynb', notebook(SETUP, WATCH, HUMAN, PAIR))
    for cell in (0, 1): lab.run(cell)

    def shown(root): return int(root.get_attribute('data-pictures') or 0)
    def rate(root):
        "Pictures a second, the best of up to four measurements, since the machine may be busy."
        best = 0
        for _ in range(4):
            start, count = time.perf_counter(), shown(root)
            page.wait_for_timeout(2000)
            best = max(best, (shown(root) - count) / (time.perf_counter() - start))
            if best >= 30: break
        return best

    root = page.locator('.mario-player').first
    root.wait_for(timeout=60_000)
    root.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.mario-player').dataset.pictures > 60", timeout=60_000)
    speed = rate(root)
    lab.expect(speed >= 30, f'the live game shows {speed:.0f} pictures a second')
    lab.shot('watch')
    root.locator('button.stop').click()
    page.wait_for_timeout(1000)
    count = shown(root)
    page.wait_for_timeout(500)
    lab.expect(shown(root) == count and root.get_attribute('data-running') == 'false', 'the stop button stops it')

    lab.run(2)
    root = page.locator('.mario-player').nth(1)
    root.wait_for(timeout=60_000)
    root.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    lab.expect(shown(root) < 5, 'the game of a person waits until it has the keyboard')
    root.locator('canvas.game').click()
    cells = page.locator('.jp-Notebook .jp-CodeCell').count()
    page.keyboard.down('ArrowRight'); page.keyboard.down('x')
    page.wait_for_timeout(1000)
    speed = rate(root)
    lab.expect(speed >= 30, f'the game of a person shows {speed:.0f} pictures a second')
    lab.expect(root.get_attribute('data-byte') == '129', 'the keys arrive')
    lab.shot('human')
    page.keyboard.up('x'); page.keyboard.up('ArrowRight')
    lab.expect(page.locator('.jp-Notebook .jp-CodeCell').count() == cells, 'JupyterLab takes none of the keys')
    root.evaluate('r => r.blur()')
    page.wait_for_timeout(1000)
    count = shown(root)
    page.wait_for_timeout(500)
    lab.expect(shown(root) == count, 'without the keyboard the game waits')
    root.locator('button.stop').click()

    lab.run(3)
    page.wait_for_function("document.querySelectorAll('.mario-player').length === 4", timeout=60_000)
    one, two = page.locator('.mario-player').nth(2), page.locator('.mario-player').nth(3)
    one.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.mario-player')].slice(2).every(r => r.dataset.frame === '0')")
    one.locator('input[type=range]').evaluate('s => { s.value = 200; s.dispatchEvent(new Event("input")); }')
    page.wait_for_function("[...document.querySelectorAll('.mario-player')].slice(2).every(r => r.dataset.frame === '200')")
    lab.expect(True, 'two players follow each other')
    two.locator('button.play').click()
    page.wait_for_timeout(1500)
    two.locator('button[title=stop]').click()
    page.wait_for_timeout(500)
    frames = [int(r.get_attribute('data-frame')) for r in (one, two)]
    lab.expect(frames[0] == frames[1] > 200, f'two players play and stop together, at {frames}')
    lab.shot('compare')
    lab.command('apputils:change-theme', theme='JupyterLab Dark')
    page.wait_for_timeout(1500)
    lab.shot('compare-dark')


def check_site(lab, browser):
    "Every page of the site, if it was built: its pictures are there, and on a telephone nothing is wider than the screen, light and dark."
    pages = sorted(SITE.rglob('*.html')) if SITE.is_dir() else []
    print(f'{len(pages)} pages of the site' if pages else 'skipped: the site is not built')
    for scheme, width, height in (('light', 1280, 800), ('dark', 390, 844)):
        with browser.new_context(viewport=dict(width=width, height=height), color_scheme=scheme) as context:
            context.route(re.compile('^https?:'), lambda route: route.abort())       # nothing is asked of the network
            lab.page = context.new_page()
            lab.page.on('pageerror', lambda e: lab.complaints.append(f'error in {lab.page.url}: {e}'))
            for path in pages:
                lab.page.goto(path.as_uri())
                wide, ground, broken = lab.page.evaluate('''() => [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor,
                    [...document.querySelectorAll('img')].filter(i => i.complete && !i.naturalWidth).map(i => i.src)]''')
                name = path.relative_to(SITE).as_posix()
                if wide > width: lab.complaints.append(f'{name} is {wide} pixels wide on a screen of {width}')
                if broken: lab.complaints.append(f'{name} lacks {broken}')
                if (sum(map(int, re.findall(r'\d+', ground)[:3])) > 380) != (scheme == 'light'): lab.complaints.append(f'{name} is {ground} in a {scheme} theme')
                if name == 'index.html': lab.shot(f'front-{scheme}')


def main(shots=None): # folder for pictures of the screen
    browser = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    try: from playwright.sync_api import sync_playwright
    except ImportError: sync_playwright = None
    if browser is None or sync_playwright is None:
        print('skipped: ' + ('Chromium' if browser is None else 'Playwright') + ' is not installed')
        return 0
    if shots: shots = Path(shots).resolve(); shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        folder = Path(folder).resolve()
        with jupyter(folder) as address, sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
            lab = Lab(chromium.new_page(viewport=dict(width=1280, height=1150)), address, folder, shots)
            try:
                check_player(lab)
                check_saved(lab)
                check_live(lab)
                check_tutorials(lab)
                check_site(lab, chromium)
            except Exception as error:
                lab.shot('failed')
                lab.complaints.append(f'{type(error).__name__}: {error}')
            chromium.close()
        for complaint in lab.complaints: print('FAILED  ' + complaint)
        return bool(lab.complaints)


if __name__ == '__main__': sys.exit(main(*sys.argv[1:]))
