import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { postgresSettings } from './settings.ts';

async function files(url: string, ca?: string): Promise<Parameters<typeof postgresSettings>[0]> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const [urlFile, caFile] = [join(directory.path, 'url'), join(directory.path, 'ca')];
  writeFileSync(urlFile, url);
  if (ca === undefined) return { CHAPERONE_INDEX_URL_FILE: urlFile };
  writeFileSync(caFile, ca);
  return { CHAPERONE_INDEX_URL_FILE: urlFile, CHAPERONE_INDEX_CA_FILE: caFile };
}

test('a server elsewhere is asked for TLS and its name, with the authority that is given', async () => {
  expect(postgresSettings(await files('postgres://index:p%40ss@db.corp/evidence\n'))).toEqual({
    host: 'db.corp',
    port: 5432,
    user: 'index',
    password: 'p@ss',
    database: 'evidence',
    ssl: { servername: 'db.corp', minVersion: 'TLSv1.2' },
  });
  expect(postgresSettings(await files('postgresql://i@10.0.0.7:6432/e', 'PEM'))).toMatchObject({
    port: 6432,
    ssl: { ca: 'PEM' },
  });
});

test('on this machine it need not', async () => {
  expect(postgresSettings(await files('postgres://i@127.0.0.1/e'))).toMatchObject({ ssl: false });
  expect(postgresSettings(await files('postgres://i@[::1]:6000/e'))).toMatchObject({ host: '::1', port: 6000, ssl: false });
});

test.each(['', 'db.corp', 'mysql://a:secret@b/c', 'postgres://a:secret@db.corp/e?sslmode=disable'])(
  'a file with %j is refused without showing it',
  async (url) => {
    const settings = await files(url);
    expect(() => postgresSettings(settings)).toThrow(
      'the file of CHAPERONE_INDEX_URL_FILE is not postgres://USER:PASSWORD@HOST/DATABASE',
    );
  },
);
