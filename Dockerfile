# docker build -t tandem .
FROM node:20-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build

FROM node:20-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json .npmrc LICENSE ./
RUN npm ci --omit=dev && npm cache clean --force
COPY --from=build /app/dist ./dist
COPY scripts/publish.mjs ./scripts/publish.mjs
COPY config ./config
# Call records, and the snapshot of the routing document.
RUN mkdir -p /var/lib/tandem && chown node:node /var/lib/tandem
USER node
VOLUME /var/lib/tandem
EXPOSE 5060/udp 5060/tcp
ENTRYPOINT ["node", "--use-largepages=silent", "dist/main.js"]
CMD ["start"]
