// What a build tool written in JavaScript does: files, links, watches, processes, threads, sockets.
const fs = require('fs'), path = require('path'), os = require('os');
const { execFileSync, spawn, fork } = require('child_process');
const { Worker, isMainThread, parentPort } = require('worker_threads');
const net = require('net');

if (process.argv[2] === 'child') {
  process.on('message', (m) => process.send({ got: m, cwd: path.basename(process.cwd()) }, () => process.exit(3)));
} else if (!isMainThread) {
  parentPort.postMessage([fs.readdirSync('d').sort(), fs.readFileSync('d/a', 'utf8')]);
} else {
  main().catch((e) => { console.log('failed', e.code, e.message); process.exit(1); });
}

async function main() {
  const step = (name, value) => console.log(name, JSON.stringify(value));
  const code = (f) => { try { f(); return 'done'; } catch (e) { return e.code; } };
  fs.mkdirSync('d/e/f', { recursive: true });
  fs.writeFileSync('d/a', 'one\n');
  fs.appendFileSync('d/a', 'two\n');
  fs.symlinkSync('../a', 'd/e/link');
  step('real', path.relative(process.cwd(), fs.realpathSync('d/e/link')));
  step('native real', path.relative(process.cwd(), fs.realpathSync.native('d/e/link')));
  fs.cpSync('d', 'copy', { recursive: true });
  step('copy', fs.readdirSync('copy', { recursive: true }).sort());
  step('stat', [fs.statSync('copy/a').size, fs.lstatSync('copy/e/link').isSymbolicLink(), fs.existsSync('copy/none')]);
  fs.renameSync('copy', 'moved');
  fs.rmSync('moved', { recursive: true });
  step('refused', [
    code(() => fs.readFileSync('moved/a')), code(() => fs.mkdirSync('d')), code(() => fs.rmdirSync('d')),
    code(() => fs.writeFileSync('/usr/x', '')), code(() => fs.openSync('d/a', 'wx')), code(() => fs.readdirSync('d/a')),
    code(() => fs.accessSync('/usr', fs.constants.W_OK)), code(() => fs.linkSync('d/a', '/tmp/b')),
  ]);
  const t = fs.mkdtempSync(path.join(os.tmpdir(), 'n-'));
  fs.writeFileSync(path.join(t, 'x'), Buffer.alloc(100000, 120));
  fs.truncateSync(path.join(t, 'x'), 10);
  fs.utimesSync(path.join(t, 'x'), 1, 2);
  fs.chmodSync(path.join(t, 'x'), 0o640);
  const s = fs.statSync(path.join(t, 'x'));
  step('tmp', [s.size, s.mtimeMs, (s.mode & 0o777).toString(8)]);
  const seen = new Promise((done) => {
    const watch = fs.watch('d', (event, name) => { if (name === 'w2') { watch.close(); done([event, name]); } });
    setTimeout(() => { fs.writeFileSync('d/w', ''); fs.renameSync('d/w', 'd/w2'); }, 50);
  });
  step('watch', await seen);
  step('exec', execFileSync('sh', ['-c', 'cat d/a; pwd | grep -c .'], { encoding: 'utf8' }));
  step('missing', code(() => execFileSync('/none')));
  const child = spawn('cat');
  let out = '';
  child.stdout.on('data', (data) => { out += data; });
  child.stdin.end('through a pipe');
  step('spawn', await new Promise((done) => child.on('close', (status) => done([status, out]))));
  const slow = spawn('sleep', ['100']);
  setTimeout(() => slow.kill(), 50);
  step('killed', await new Promise((done) => slow.on('exit', (...how) => done(how))));
  const forked = fork(__filename, ['child']);
  forked.send({ x: 1 });
  step('message', await new Promise((done) => forked.on('message', done)));
  step('forked', await new Promise((done) => forked.on('exit', done)));
  step('worker', await new Promise((done) => new Worker(__filename).on('message', done)));
  const server = net.createServer((c) => c.pipe(c)).listen('d/socket');
  await new Promise((done) => server.on('listening', done));
  const client = net.connect('d/socket');
  client.end('echo');
  step('socket', await new Promise((done) => client.on('data', (data) => done(String(data)))));
  server.close();
  await new Promise((done) => server.on('close', done));
  const many = await Promise.all([...Array(200).keys()].map(async (n) => {
    await fs.promises.writeFile(`d/e/f/${n}`, String(n));
    return (await fs.promises.stat(`d/e/f/${n}`)).size;
  }));
  step('many', many.reduce((a, b) => a + b));
  for await (const entry of await fs.promises.opendir('d')) out = entry.parentPath || entry.path;
  fs.rmSync('d', { recursive: true });
  step('left', fs.readdirSync('.').filter((name) => name !== path.basename(__filename)));
}
