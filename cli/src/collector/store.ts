/** What it takes of the collector to open a store: whoever imports a package when it runs gets all that the package has. */
export { createCollector, createTokenAccess } from '@chaperone/collector';
