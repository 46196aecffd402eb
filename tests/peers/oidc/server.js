// An OpenID provider for the tests, not our own code: oidc-provider, which is certified. Its pages are its own ("devInteractions");
// whoever logs in as NAME, with any password, is NAME, in the groups that GROUPS gives to NAME, or "g-NAME".
// Prints its issuer on a line, once it listens, and reads on a line where its client has browsers sent back to.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const groups = JSON.parse(process.env.GROUPS ?? '{}');
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(issuer);
  createInterface({ input: process.stdin }).once('line', (redirect) => serve(issuer, redirect));
});

function serve(issuer, redirect) {
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'edge-gateway', client_secret: 'a secret of the house', redirect_uris: [redirect],
      grant_types: ['authorization_code'], response_types: ['code'],
    }, { // a machine, which nobody logs in as
      client_id: 'edge machine', client_secret: 'its own: secret/+%', redirect_uris: [],
      grant_types: ['client_credentials'], response_types: [],
    }],
    features: { clientCredentials: { enabled: true }, introspection: { enabled: true } },
    ttl: { ClientCredentials: Number(process.env.LIFE ?? 600) },
    claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
    scopes: ['openid', 'profile', 'groups'],
    conformIdTokenClaims: process.env.IN_USERINFO === '1', // else claims stand in the ID token too
    pkce: { required: () => true, methods: ['S256'] },
    cookies: { keys: ['of the tests'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: groups[id] ?? [`g-${id}`] }),
    }),
  });
  server.on('request', provider.callback());
  console.log('serving');
}
