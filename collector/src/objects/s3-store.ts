import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  type ObjectVersion,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { checkName, MAX_OBJECT_BYTES, type ObjectStore, StoreError, type StoredObject } from './store.ts';

export interface S3Settings {
  readonly bucket: string;
  /** Stands before every name, `/` included; empty: the whole bucket. */
  readonly prefix: string;
  readonly region: string;
  /** Of a store that is not Amazon's. https, unless it is on this machine. */
  readonly endpoint?: string;
  /** Default: where Amazon's tools look for them. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string };
  /** PEM of who certifies the endpoint. Default: the authorities that Node knows. */
  readonly ca?: string;
  /** The bucket as the path's first part: what most other stores want. */
  readonly pathStyle?: boolean;
  /**
   * What is created is locked for so long: nobody, with COMPLIANCE the account's owner neither, deletes that version before. What is replaced
   * is not, since its old versions say nothing that the new one does not. Needs a bucket with Object Lock.
   */
  readonly lock?: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number };
}

const RECEIVED = 'received-at';
const CONNECT_MS = 5_000;
const ANSWER_MS = 30_000;
/** Each with the SDK's own waiting in between. */
const ATTEMPTS = 5;
/** Two writers met at one name (409 ConditionalRequestConflict): S3 asks to try again. */
const CONFLICTS = 5;
/** Once to delete and once to see that nothing is left; more where others write meanwhile. */
const DESTROYS = 4;
const DAY_MS = 86_400_000;
const PROBE = 'probe/conditions';

/**
 * Objects in a bucket of S3 or of what speaks its protocol. Who wins is decided by conditions of the writes themselves
 * (If-None-Match, If-Match), so several collectors may use one bucket.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
 */
export class S3Store implements ObjectStore {
  readonly #client: S3Client;
  readonly #settings: S3Settings;

  private constructor(settings: S3Settings) {
    const { region, endpoint, pathStyle = false, credentials, ca } = settings;
    this.#settings = settings;
    this.#client = new S3Client({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
      forcePathStyle: pathStyle,
      maxAttempts: ATTEMPTS,
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        requestTimeout: ANSWER_MS,
        throwOnRequestTimeout: true,
        ...(ca === undefined ? {} : { httpsAgent: { ca } }),
      },
    });
  }

  /**
   * Opens a bucket and sees that it keeps the conditions that it is asked for: a store that ignores them would let one collector
   * overwrite what another stored. Credentials are found where Amazon's tools find them (variables, web identity, instance).
   * @throws StoreError StoreUnsuitable where the store ignores conditions, StoreUnavailable where it cannot be reached or refuses us
   */
  static async open(settings: S3Settings): Promise<S3Store> {
    const store = new S3Store(settings);
    try {
      await store.#probe();
      return store;
    } catch (error) {
      store.close();
      throw error;
    }
  }

  async #probe(): Promise<void> {
    const put = (condition: Condition) => this.#put(PROBE, Buffer.from('chaperone\n'), 0, condition);
    await put({ IfNoneMatch: '*' });
    const ignored =
      (await put({ IfNoneMatch: '*' })) !== undefined || (await put({ IfMatch: `"${'0'.repeat(32)}"` })) !== undefined;
    if (ignored)
      throw new StoreError('StoreUnsuitable', `bucket ${this.#settings.bucket} ignores If-None-Match or If-Match when it stores`);
  }

  async create(name: string, bytes: Buffer, at: number): Promise<'created' | 'exists'> {
    return (await this.#put(name, bytes, at, { IfNoneMatch: '*' }, this.#settings.lock)) === undefined ? 'exists' : 'created';
  }

  async replace(name: string, bytes: Buffer, at: number, version: string | undefined): Promise<{ version: string } | 'changed'> {
    const condition = version === undefined ? { IfNoneMatch: '*' as const } : { IfMatch: version };
    const stored = await this.#put(name, bytes, at, condition);
    return stored === undefined ? 'changed' : { version: stored };
  }

  get(name: string): Promise<StoredObject | undefined> {
    return this.#get(name);
  }

  async *earlier(name: string): AsyncGenerator<StoredObject> {
    const key = this.#key(name);
    for await (const version of this.#versions(key))
      if (version.Key === key && version.IsLatest !== true && version.VersionId !== undefined) {
        const found = await this.#get(name, version.VersionId);
        if (found !== undefined) yield found;
      }
  }

  async destroy(name: string): Promise<void> {
    const key = this.#key(name);
    const { bucket } = this.#settings;
    for (let round = 0; round < DESTROYS; round++) {
      let found = 0;
      for await (const { Key, VersionId } of this.#versions(key)) {
        if (Key !== key) continue;
        found++;
        await this.#client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key, VersionId })).catch((error: unknown) => {
          throw failed(`${name} cannot be destroyed`, error);
        });
      }
      // The list is asked again: what a delete left standing, or somebody stored meanwhile, is not destroyed.
      if (found === 0) return;
    }
    throw new StoreError('StoreUnavailable', `${name} is still there after it was destroyed`);
  }

  // By versions, since a name that somebody deleted is still one whose versions are kept.
  async *list(prefix: string): AsyncGenerator<string> {
    if (prefix !== '') checkName(prefix.replace(/\/$/, ''));
    const root = this.#settings.prefix.length;
    let last: string | undefined;
    for await (const { Key: key } of this.#versions(`${this.#settings.prefix}${prefix}`)) {
      if (key === undefined || key === last) continue;
      last = key;
      yield key.slice(root);
    }
  }

  close(): void {
    this.#client.destroy();
  }

  #key(name: string): string {
    checkName(name);
    return `${this.#settings.prefix}${name}`;
  }

  /** Resolves with the version that now stands there; undefined where the condition did not hold. */
  async #put(
    name: string,
    bytes: Buffer,
    at: number,
    condition: Condition,
    lock?: S3Settings['lock'],
  ): Promise<string | undefined> {
    const { bucket } = this.#settings;
    const command = new PutObjectCommand({
      Bucket: bucket,
      Key: this.#key(name),
      Body: bytes,
      Metadata: { [RECEIVED]: String(at) },
      ChecksumAlgorithm: 'SHA256',
      ...condition,
      ...(lock === undefined
        ? {}
        : { ObjectLockMode: lock.mode, ObjectLockRetainUntilDate: new Date(Date.now() + lock.days * DAY_MS) }),
    });
    for (let conflicts = 0; ; conflicts++)
      try {
        const { ETag: version } = await this.#client.send(command);
        if (version === undefined) throw new StoreError('StoreUnsuitable', `bucket ${bucket} gives no ETag for what it stores`);
        return version;
      } catch (error) {
        const status = statusOf(error);
        if (status === 412 || (status === 404 && condition.IfMatch !== undefined && nameOf(error) === 'NoSuchKey'))
          return undefined;
        if (status !== 409 || conflicts >= CONFLICTS) throw failed(`${name} cannot be stored`, error);
      }
  }

  async #get(name: string, versionId?: string): Promise<StoredObject | undefined> {
    const where = { Bucket: this.#settings.bucket, Key: this.#key(name), VersionId: versionId };
    try {
      const answer = await this.#client.send(new GetObjectCommand({ ...where, ChecksumMode: 'ENABLED' }));
      if (answer.Body === undefined || answer.ETag === undefined || (answer.ContentLength ?? Infinity) > MAX_OBJECT_BYTES)
        throw new StoreError('StoreUnavailable', `${name} is no object of ours`);
      const bytes = Buffer.from(await answer.Body.transformToByteArray());
      const received = Number(answer.Metadata?.[RECEIVED] ?? answer.LastModified?.getTime());
      if (!Number.isFinite(received)) throw new StoreError('StoreUnavailable', `${name} is no object of ours`);
      return { bytes, at: received, version: answer.ETag };
    } catch (error) {
      if (nameOf(error) === 'NoSuchKey' || (statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket')) return undefined;
      throw failed(`${name} cannot be read`, error);
    }
  }

  /** Versions of keys with a prefix, in the order of keys, of each the newest first; what a delete left in its place is not one, its versions are. */
  async *#versions(prefix: string): AsyncGenerator<ObjectVersion> {
    let place: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {};
    for (;;) {
      const page = await this.#client
        .send(new ListObjectVersionsCommand({ Bucket: this.#settings.bucket, Prefix: prefix, ...place }))
        .catch((error: unknown) => {
          throw failed('the store cannot be listed', error);
        });
      yield* page.Versions ?? [];
      if (page.IsTruncated !== true) return;
      place = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
    }
  }
}

type Condition =
  | { readonly IfNoneMatch: '*'; readonly IfMatch?: never }
  | { readonly IfMatch: string; readonly IfNoneMatch?: never };

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

function nameOf(error: unknown): string | undefined {
  return error instanceof Error ? error.name : undefined;
}

/** A store's own words may hold what a client sent, such as a key's id: its error's name says enough. */
function failed(what: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const status = statusOf(error);
  const why = `${nameOf(error) ?? 'unknown fault'}${status === undefined ? '' : `, HTTP ${status}`}`;
  return new StoreError('StoreUnavailable', `${what}: ${why}`, { cause: error });
}
