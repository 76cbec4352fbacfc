import { render } from 'preact';
import { App } from './app.tsx';
import { startKeys } from './keys.ts';
import { applyTheme } from './preferences.ts';
import { startLive } from './requests/live.ts';
import { startRouter } from './router.ts';

applyTheme();
startRouter();
startKeys();
startLive();
const root = document.getElementById('app');
if (root !== null) render(<App />, root);
