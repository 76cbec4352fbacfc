import { type Access, type ApiType, mayUse, mayUseGroup } from '@chaperone/policy';
import {
  CONNECTS,
  isNeverAllowed,
  isObject,
  type Json,
  JsonError,
  type JsonObject,
  MAX_BODY_BYTES,
  readJson,
} from '../actions/index.ts';
import type { Verb } from '../actions/index.ts';
import { AnswerMask } from './answer.ts';
import { AnswerError, notJson } from './errors.ts';
import type { Plan } from './plan.ts';

/** Collects what tells which resources there are, and gives of it what the agent may use. It is small: a few hundred bytes a kind. */
export class DiscoveryMask {
  masked = 0;
  held = 0;
  readonly #plan: Plan;
  #parts: Buffer[] = [];

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** @throws AnswerError TooLarge */
  push(chunk: Buffer): Buffer {
    this.held += chunk.length;
    if (this.held > MAX_BODY_BYTES) throw tooLarge();
    this.#parts.push(Buffer.from(chunk));
    return Buffer.alloc(0);
  }

  /** @throws AnswerError */
  end(): Buffer {
    const shown = JSON.stringify(shownDiscovery(read(Buffer.concat(this.#parts)), this.#plan.access));
    this.#parts = [];
    const mask = new AnswerMask(this.#plan, { resource: '', group: '' }, 'object');
    const bytes = Buffer.concat([mask.push(Buffer.from(shown)), mask.end()]);
    this.masked = mask.masked;
    return bytes;
  }
}

function read(bytes: Buffer): Json {
  try {
    return readJson(bytes);
  } catch (error) {
    throw error instanceof JsonError ? notJson() : error;
  }
}

const tooLarge = (): AnswerError =>
  new AnswerError('TooLarge', `what the API server has is told in more than ${MAX_BODY_BYTES} bytes`);

/**
 * What an agent may use of a document of discovery, of whatever version: all groups at once with their resources
 * (apidiscovery.k8s.io), or one by one. Where else to ask is left out.
 *
 * @throws AnswerError NotJson where it is none of these
 */
export function shownDiscovery(value: Json, access: Access): JsonObject {
  const document = isObject(value) ? value : {};
  switch (document['kind']) {
    case 'APIGroupDiscoveryList':
      return { ...document, items: objects(document['items']).flatMap((group) => shownGroup(group, access)) };
    case 'APIResourceList':
      return { ...document, resources: shownList(document, access) };
    case 'APIGroupList':
      return { ...document, groups: objects(document['groups']).filter(isUsed(access)).map(withoutAddresses) };
    case 'APIGroup':
      return isUsed(access)(document) ? withoutAddresses(document) : { ...withoutAddresses(document), versions: [] };
    case 'APIVersions':
      return { ...withoutAddresses(document), serverAddressByClientCIDRs: [] };
    default:
      throw notJson();
  }
}

const objects = (value: Json | undefined): JsonObject[] => (Array.isArray(value) ? (value as Json[]).filter(isObject) : []);
const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

const isUsed =
  (access: Access) =>
  ({ name }: JsonObject): boolean =>
    mayUseGroup(access, textOf(name));

function withoutAddresses({ serverAddressByClientCIDRs, ...rest }: JsonObject): JsonObject {
  return serverAddressByClientCIDRs === undefined ? rest : { ...rest };
}

/** One group of the aggregated form; none where nothing of it is left. */
function shownGroup(group: JsonObject, access: Access): JsonObject[] {
  const { metadata } = group;
  const name = isObject(metadata) ? textOf(metadata['name']) : '';
  const versions = objects(group['versions']).flatMap((version) => {
    const resources = objects(version['resources']).flatMap((resource) => shownResource(resource, name, access));
    return resources.length === 0 ? [] : [{ ...version, resources }];
  });
  return versions.length === 0 ? [] : [{ ...group, versions }];
}

/** A resource stays for its subresources' sake, too: clients find these by it. */
function shownResource(entry: JsonObject, group: string, access: Access): JsonObject[] {
  const resource = textOf(entry['resource']);
  const verbs = usable(entry, { group, resource, subresource: '' }, access);
  const subresources = objects(entry['subresources']).flatMap((each) => {
    const used = usable(each, { group, resource, subresource: textOf(each['subresource']) }, access);
    return used.length === 0 ? [] : [{ ...each, verbs: used }];
  });
  if (verbs.length === 0 && subresources.length === 0) return [];
  return [{ ...entry, verbs, ...(entry['subresources'] !== undefined && { subresources }) }];
}

/** Resources of one version, where a subresource is an entry of its own. */
function shownList(document: JsonObject, access: Access): JsonObject[] {
  const version = textOf(document['groupVersion']);
  const group = version.includes('/') ? version.slice(0, version.indexOf('/')) : '';
  const entries = objects(document['resources']).map((entry) => {
    const [resource = '', subresource = ''] = textOf(entry['name']).split('/');
    return { entry, resource, subresource, verbs: usable(entry, { group, resource, subresource }, access) };
  });
  const used = new Set(entries.filter(({ verbs }) => verbs.length > 0).map(({ resource }) => resource));
  return entries
    .filter(({ resource, subresource, verbs }) => verbs.length > 0 || (subresource === '' && used.has(resource)))
    .map(({ entry, verbs }) => ({ ...entry, verbs }));
}

/** Of the verbs of an entry those that may be used. What is a verb by its subresource has all or none of them. */
function usable({ verbs }: JsonObject, api: ApiType, access: Access): string[] {
  const named = Array.isArray(verbs) ? (verbs as Json[]).map(textOf) : [];
  const connect = CONNECTS.find((each) => each === api.subresource);
  return named.filter((name) => {
    const verb = (connect ?? name) as Verb;
    return !isNeverAllowed({ ...api, verb }) && mayUse(access, api, verb);
  });
}
