/**
 * The paths of the page, in this one place: what console/src/app.tsx routes has its line here. A name that could be one is enough;
 * whether there is such a session, request, policy or resource the page finds out.
 */
const PAGES: readonly RegExp[] = [
  /^\/$/,
  /^\/sessions\/?$/,
  /^\/sessions\/[\w.-]{1,64}$/,
  /^\/requests\/?$/,
  /^\/requests\/[a-z0-9-]{1,63}\/[\w.-]{1,64}$/,
  /^\/grants\/?$/,
  /^\/evidence\/?$/,
  /^\/(?:policies|resources)\/?$/,
  /^\/(?:policies|resources)\/[a-z0-9-]{1,63}\/[\w.-]{1,253}$/,
];
/** A link to sign in with, and where a sign-in ends that came to nothing: the page takes both, and no sign-in leads there. */
const ENTRANCES: readonly RegExp[] = [/^\/l\/[\w-]{1,100}$/, /^\/sign-in$/];
const QUERY = /^[\w.~%&=+-]{0,500}$/;

/** Whether the page draws something of its own at a path without its query. */
export function isRoute(path: string): boolean {
  return [...ENTRANCES, ...PAGES].some((page) => page.test(path));
}

/** Whether a text is the path of a page of ours: what leads to another origin, or into the API, is not. */
export function isPagePath(text: string): boolean {
  const at = text.indexOf('?');
  const [path, query] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  return PAGES.some((page) => page.test(path)) && QUERY.test(query);
}
