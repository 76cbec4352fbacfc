/** ConfigMap with the CA, key ca.crt, in the operator's and every governed namespace. */
export const CA_CONFIG_MAP = 'chaperone-ca';
export const WEBHOOK_CONFIGURATION = 'chaperone';
/** Owns nothing but caBundle, so that the chart and this never fight over a field. */
const WEBHOOK_FIELD_MANAGER = 'chaperone-ca-injector';

interface Webhook {
  readonly name: string;
  readonly clientConfig?: { readonly caBundle?: string };
}

/** Puts the CA into a namespace if what is there differs. */
export async function publishCa(
  kube: Kube,
  namespace: string,
  bundle: string,
  current: KubeObject | undefined,
  signal: AbortSignal,
): Promise<void> {
  if ((current?.data as Record<string, string> | undefined)?.['ca.crt'] === bundle) return;
  await apply(kube, KINDS.configMaps, { namespace, name: CA_CONFIG_MAP }, { data: { 'ca.crt': bundle } }, { signal });
}

/** Whether the API server trusts what this authority signs, in every webhook of ours; one that is absent calls nobody. */
export function trusts(configuration: KubeObject | undefined, certificate: string): boolean {
  const webhooks = (configuration?.webhooks ?? []) as readonly Webhook[];
  return webhooks.every(({ clientConfig }) =>
    Buffer.from(clientConfig?.caBundle ?? '', 'base64')
      .toString()
      .includes(certificate),
  );
}

/** Sets caBundle of every webhook in our configuration where it differs; does nothing while the configuration is absent. */
export async function publishWebhookCa(
  kube: Kube,
  bundle: string,
  current: KubeObject | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (current === undefined) return;
  const caBundle = Buffer.from(bundle).toString('base64');
  const webhooks = (current.webhooks ?? []) as readonly Webhook[];
  if (webhooks.every((webhook) => webhook.clientConfig?.caBundle === caBundle)) return;
  const body = { webhooks: webhooks.map(({ name }) => ({ name, clientConfig: { caBundle } })) };
  await apply(kube, KINDS.mutatingWebhooks, { name: WEBHOOK_CONFIGURATION }, body, {
    signal,
    fieldManager: WEBHOOK_FIELD_MANAGER,
  });
}
import { apply, KINDS, type Kube, type KubeObject } from '@chaperone/kube';
