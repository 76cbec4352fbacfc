import { describe, expect, it } from 'vitest';
import { Access } from './access.ts';
import { anAccess } from './builders.ts';
import { hashKeysOf, withHashKeys } from './hash-keys.ts';

const SECRET = Buffer.alloc(32, 7);
const hashed = (mods: Partial<Access> = {}): Access =>
  anAccess([{}], {
    sensitive: ['pii.ssn', 'pii.email', 'pci.card'].map((label) => ({ label, columns: [] })),
    masking: { 'pii.ssn': { hash: {} }, 'pii.email': { hash: {} }, 'pci.card': { partial: { last: 4 } } },
    ...mods,
  });
const keys = (mods: Partial<Access> = {}, secret = SECRET) => hashKeysOf(secret, hashed(mods)) ?? {};

describe('keys of hash masks', () => {
  it('are handed out for labels that are shown by hash, and no other', () => {
    expect(Object.keys(keys())).toEqual(['pii.email', 'pii.ssn']);
    expect(Object.keys(keys({ reveal: ['pii.email'] }))).toEqual(['pii.ssn']);
    expect(Object.keys(keys({ sensitive: [{ label: 'pii.email', columns: [] }] }))).toEqual(['pii.email']);
    expect(hashKeysOf(SECRET, hashed({ masking: {} }))).toBeUndefined();
  });
  it('are handed out for what Secrets of a cluster hold, which no owner has to label', () => {
    const masking = { 'kubernetes.secret': { hash: {} } };
    const of = (protocol: 'kubernetes' | 'postgres', mods: Partial<Access> = {}): string[] =>
      Object.keys(keys({ resource: { ...hashed().resource, protocol }, sensitive: [], masking, ...mods }));
    expect(of('kubernetes')).toEqual(['kubernetes.secret']);
    expect(of('kubernetes', { reveal: ['kubernetes.secret'] })).toEqual([]);
    expect(of('postgres')).toEqual([]);
  });
  it('are the same each time: this one must never change', () => {
    expect(keys()['pii.ssn']).toBe('D3zFkgTfjUNKJ3Xu48rjHTEWG69HZ/gBseUEgcDPp+Q=');
    expect(keys()).toEqual(keys());
  });
  it('differ by label, resource and installation', () => {
    const resource = hashed().resource;
    const all = [
      ...Object.values(keys()),
      ...Object.values(keys({ resource: { ...resource, name: 'other' } })),
      ...Object.values(keys({ resource: { ...resource, namespace: 'other' } })),
      ...Object.values(keys({}, Buffer.alloc(32, 8))),
    ];
    expect(new Set(all).size).toBe(8);
    for (const key of all) expect(Buffer.from(key, 'base64')).toHaveLength(32);
  });
  it('are part of the access that a sidecar gets, and not of its digest', () => {
    const access = withHashKeys(hashed(), SECRET);
    expect(Access.parse(access).hashKeys).toEqual(keys());
    expect(access.digest).toBe(hashed().digest);
    expect(withHashKeys(hashed(), undefined)).not.toHaveProperty('hashKeys');
    expect(withHashKeys(hashed({ masking: {} }), SECRET)).not.toHaveProperty('hashKeys');
  });
  it.each([0, 16, 33])('do not come from a secret of %i bytes', (length) =>
    expect(() => keys({}, Buffer.alloc(length))).toThrow(RangeError),
  );
});
